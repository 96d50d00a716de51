// Cutting a picture into tiles, as runtime/tiling.py does, which says why it is exact. Pixels are RGBA.

// Pixels of context are work done twice: a tile's side without them is at least eight times as many.
const CORE = 512, CONTEXTS = 8;

// `size` pixels in tiles that overlap by `halo`: [start, stop) goes in, [coreStart, coreStop) is kept.
export function spans(size, halo, multiple, smallest) {
  const context = Math.ceil(halo / multiple) * multiple;
  let core = Math.floor(Math.max(CORE, CONTEXTS * context) / multiple) * multiple;
  core = Math.ceil(size / Math.ceil(size / core) / multiple) * multiple;
  const result = [];
  for (let coreStart = 0; coreStart < size; coreStart += core) {
    const coreStop = Math.min(coreStart + core, size);
    let start = Math.max(0, coreStart - context), stop = Math.min(size, coreStop + context);
    if (stop - start < smallest) {
      stop = Math.min(size, Math.ceil((start + smallest) / multiple) * multiple);
      start = Math.min(start, Math.floor(Math.max(0, stop - smallest) / multiple) * multiple);
    }
    result.push({ start, stop, coreStart, coreStop });
  }
  return result;
}

// The pixels of a tile as a graph takes them: RGB, one row of tiles and one column.
export function take({ data, width }, row, column) {
  const result = new Uint8Array((row.stop - row.start) * (column.stop - column.start) * 3);
  let to = 0;
  for (let y = row.start; y < row.stop; y++) {
    for (let at = (y * width + column.start) * 4, end = (y * width + column.stop) * 4; at < end; at += 4) {
      result[to++] = data[at];
      result[to++] = data[at + 1];
      result[to++] = data[at + 2];
    }
  }
  return result;
}

// Put the core of an enhanced tile into a picture.
export function put({ data, width }, row, column, tile) {
  for (let y = row.coreStart; y < row.coreStop; y++) {
    let from = ((y - row.start) * (column.stop - column.start) + column.coreStart - column.start) * 3;
    for (let at = (y * width + column.coreStart) * 4, end = (y * width + column.coreStop) * 4; at < end; at += 4) {
      data[at] = tile[from++];
      data[at + 1] = tile[from++];
      data[at + 2] = tile[from++];
    }
  }
}

// The side of an overview's squares: a multiple of 4, over 32 of 8.
export function squareSide(height, width, points) {
  const side = 4 * Math.ceil((height + width) / (4 * points));
  const unit = side <= 32 ? 4 : 8;
  return Math.ceil(side / unit) * unit;
}

// Means over squares of a picture, 3 x rows x columns in [0, 1], whose edge is repeated up to a height and width and on.
export function overview(image, side, height, width) {
  const rows = Math.ceil(height / side), columns = Math.ceil(width / side);
  const sums = new Float64Array(3 * rows * columns);
  for (let y = 0; y < rows * side; y++) {
    const line = Math.min(y, image.height - 1) * image.width;
    const row = Math.floor(y / side) * columns;
    for (let x = 0; x < columns * side; x++) {
      const at = (line + Math.min(x, image.width - 1)) * 4;
      const to = row + Math.floor(x / side);
      for (let c = 0; c < 3; c++) sums[c * rows * columns + to] += image.data[at + c];
    }
  }
  return { rows, columns, data: Float32Array.from(sums, (sum) => sum / (255 * side * side)) };
}

// The squares of a tile, with one more to each side, in a map that has a frame of one.
export function squares({ start, stop }, side, multiple) {
  const padded = Math.ceil((stop - start) / multiple) * multiple;
  const first = Math.floor(start / side);
  return { first, count: Math.ceil(padded / side) + 2 };
}

// A rectangle of each of the planes of a tensor 1 x C x H x W.
export function crop({ data, dims: [, planes, height, width] }, row, column) {
  const rows = Math.min(row.count, height - row.first), columns = Math.min(column.count, width - column.first);
  const result = new Float32Array(planes * rows * columns);
  for (let plane = 0, to = 0; plane < planes; plane++) {
    for (let y = row.first; y < row.first + rows; y++, to += columns) {
      const from = (plane * height + y) * width + column.first;
      result.set(data.subarray(from, from + columns), to);
    }
  }
  return { data: result, dims: [1, planes, rows, columns] };
}

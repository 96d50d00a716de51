// A network in ONNX Runtime Web: pictures in, pictures of the same size out, in tiles. Pixels are RGBA, and alpha stays.

import { crop, overview, put, spans, squareSide, squares, take } from "./tiles.js";

export class Network {
  // `about` is an entry of networks.json, `ort` is ONNX Runtime Web, `where` is "wasm" or "webgpu".
  static async open(about, ort, where) {
    const load = (name) => ort.InferenceSession.create(new URL(name, import.meta.url).href, { executionProviders: [where], logSeverityLevel: 3 });
    const sessions = [];
    for (const name of about.files) sessions.push(await load(name)); // one after the other: it can't open two at once
    return new Network(about, ort, sessions);
  }

  constructor(about, ort, sessions) {
    Object.assign(this, { about, ort, sessions });
  }

  // Give its memory back; it can't be used any more.
  async release() {
    for (const session of this.sessions) await session.release();
  }

  // `progress(done, total)` is awaited after each tile; it ends the work by throwing.
  async enhance(image, progress = async () => {}) {
    const { smallest, most, parts, halo } = this.about;
    const size = `${image.height}x${image.width} (HxW)`;
    if (image.height < smallest || image.width < smallest) throw new Error(`the picture is ${size}, ${smallest}x${smallest} and up is taken`);
    if (image.height * image.width > most) throw new Error(`the picture is ${size}, at most ${most.toLocaleString("en")} pixels fit here; make it smaller`);
    const result = new ImageData(new Uint8ClampedArray(image.data), image.width, image.height);
    try {
      if (parts) await this.#inParts(image, result, progress);
      else await this.#tiles(image, result, halo, this.about.multiple, progress, (tile) => this.#run(0, { [this.about.input]: tile }));
    } catch (error) {
      throw new Error(`${this.about.name} failed on ${size}: ${error?.message ?? error}`);
    }
    return result;
  }

  // Part by part under one light, which is decided on an overview of the whole picture.
  async #inParts(image, result, progress) {
    const { parts, multiple, input } = this.about;
    const [height, width] = [image.height, image.width].map((extent) => Math.ceil(extent / multiple) * multiple);
    const side = squareSide(height, width, parts.points);
    const small = overview(image, side, height, width);
    const decided = await this.sessions[0].run({ [parts.overview]: this.#tensor("float32", small.data, [1, 3, small.rows, small.columns]) });
    const step = leastCommonMultiple(side, multiple);
    await this.#tiles(image, result, parts.halo, step, progress, (tile, row, column) => {
      const given = { [input]: tile, [parts.side]: this.#tensor("int64", BigInt64Array.of(BigInt(side)), [1]) };
      const [rows, columns] = [row, column].map((span) => squares(span, side, multiple));
      for (const name of parts.light) {
        const light = decided[name];
        const share = light.dims[2] > 1 ? crop(light, rows, columns) : light;
        given[name] = this.#tensor("float32", share.data, share.dims);
      }
      return this.#run(1, given);
    });
  }

  // `run` makes the pixels of a tile from its tensor. Without a halo there is one tile.
  async #tiles(image, result, halo, multiple, progress, run) {
    const cut = (size) => halo === null ? [{ start: 0, stop: size, coreStart: 0, coreStop: size }] : spans(size, halo, multiple, this.about.smallest);
    const rows = cut(image.height), columns = cut(image.width);
    let done = 0;
    for (const row of rows) {
      for (const column of columns) {
        const tile = this.#tensor("uint8", take(image, row, column), [1, row.stop - row.start, column.stop - column.start, 3]);
        put(result, row, column, await run(tile, row, column));
        await progress(++done, rows.length * columns.length);
      }
    }
  }

  async #run(number, given) {
    const made = await this.sessions[number].run(given);
    return made[this.about.output].data;
  }

  #tensor(kind, data, dims) {
    return new this.ort.Tensor(kind, data, dims);
  }
}

function leastCommonMultiple(one, other) {
  const divisor = (a, b) => (b ? divisor(b, a % b) : a);
  return (one / divisor(one, other)) * other;
}

// How much of the enhancement a picture gets, as runtime/exposure.py computes it, which says why: the same bytes. Pixels are RGBA.

const GATE_OPEN = 21, GATE_SHUT = 73, SAMPLES = 16384;

// The geometric mean of luma + 1, less 1, on a regular subsample.
export function exposure({ data, width, height }) {
  const step = Math.max(1, Math.floor(Math.sqrt(Math.floor((height * width) / SAMPLES))));
  let sum = 0, pixels = 0;
  for (let y = step >> 1; y < height; y += step) {
    for (let x = step >> 1; x < width; x += step, pixels++) {
      const at = (y * width + x) * 4;
      const luma = (data[at] * 9798 + data[at + 1] * 19235 + data[at + 2] * 3735 + 16384) >> 15; // as OpenCV rounds it
      sum += Math.log1p(luma);
    }
  }
  return Math.expm1(sum / pixels);
}

// The share of the strength, 0 to 1, that a picture of this exposure gets.
export function gate(level) {
  const position = Math.min(Math.max((level - GATE_OPEN) / (GATE_SHUT - GATE_OPEN), 0), 1);
  return 1 - position * position * (3 - 2 * position);
}

// A new picture between two: `source` at strength 0, `enhanced` at 1. `geometric`: the network has an illumination.
export function blend(source, enhanced, strength, geometric) {
  const result = new Uint8ClampedArray(enhanced.data);
  if (strength < 1) {
    const table = mixed(strength, geometric);
    for (let at = 0; at < result.length; at += 4) {
      for (let c = at; c < at + 3; c++) result[c] = table[(source.data[c] << 8) | enhanced.data[c]];
    }
  }
  return new ImageData(result, source.width, source.height);
}

// The code between each pair of codes, at dark x 256 + bright. A clamped array rounds halves to even, as OpenCV does.
function mixed(strength, geometric) {
  const table = new Uint8ClampedArray(65536);
  const share = (code, part) => Math.fround(geometric ? (code + 1) ** part : code * part);
  for (let dark = 0; dark < 256; dark++) {
    const below = share(dark, 1 - strength);
    for (let bright = 0; bright < 256; bright++) {
      const above = share(bright, strength);
      table[(dark << 8) | bright] = Math.abs(geometric ? Math.fround(below * above) - 1 : Math.fround(below + above));
    }
  }
  return table;
}

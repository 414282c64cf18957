// Brings pictures to the network's size and its labels back, as
// deeplab_tf.inference.exported does. Pixels are RGBA, rows in order.
"use strict";

// To the nearest whole number, halves to the even one, as NumPy.
function round(value) {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 ? up - 1 : up;
}

// The part of [height, width] that a picture fills: its own size, or less where it must
// be shrunk.
function fittedSize(height, width, size) {
  const factor = Math.min(size[0] / height, size[1] / width, 1);
  if (factor === 1) return [height, width];
  return [height, width].map((side) => Math.max(1, round(side * factor)));
}

// A picture {data, height, width} as the network's input [h, w, 3]: shrunk where it is
// too large, padded at the right and below with `fill`.
function fit(picture, size, fill, Kind) {
  const box = fittedSize(picture.height, picture.width, size);
  const shrunk = box[0] < picture.height || box[1] < picture.width;
  const rgb = shrunk ? shrink(picture, box) : dropAlpha(picture);
  const input = new Kind(size[0] * size[1] * 3);
  for (let i = 0; i < input.length; i++) input[i] = fill[i % 3];
  for (let y = 0; y < box[0]; y++) {
    input.set(rgb.subarray(y * box[1] * 3, (y + 1) * box[1] * 3), y * size[1] * 3);
  }
  return { input, box };
}

function dropAlpha({ data, height, width }) {
  const rgb = new Uint8Array(height * width * 3);
  for (let from = 0, to = 0; to < rgb.length; from++) {
    rgb[to++] = data[from++];
    rgb[to++] = data[from++];
    rgb[to++] = data[from++];
  }
  return rgb;
}

// For each output position, which input positions it is the mean of: a triangle as wide
// as the step, so that nothing is passed over (tf.image.resize with antialias).
function triangles(length, size) {
  const step = length / size;
  return Array.from({ length: size }, (_, i) => {
    const centre = (i + 0.5) * step;
    const first = Math.max(0, Math.ceil(centre - step - 0.5));
    const last = Math.min(length - 1, Math.floor(centre + step - 0.5));
    const weights = [];
    for (let j = first; j <= last; j++) {
      weights.push(Math.max(0, 1 - Math.abs(j + 0.5 - centre) / step));
    }
    const sum = weights.reduce((a, b) => a + b);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

function shrink({ data, height, width }, [rows, columns]) {
  const narrow = new Float32Array(height * columns * 3);
  triangles(width, columns).forEach(({ first, weights }, x) => {
    for (let y = 0; y < height; y++) {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        let from = (y * width + first) * 4 + c;
        for (let k = 0; k < weights.length; k++, from += 4) sum += weights[k] * data[from];
        narrow[(y * columns + x) * 3 + c] = sum;
      }
    }
  });
  const small = new Uint8Array(rows * columns * 3);
  const line = columns * 3;
  triangles(height, rows).forEach(({ first, weights }, y) => {
    for (let x = 0; x < line; x++) {
      let sum = 0;
      let from = first * line + x;
      for (let k = 0; k < weights.length; k++, from += line) sum += weights[k] * narrow[from];
      small[y * line + x] = round(sum);
    }
  });
  return small;
}

// The first `box` rows and columns of labels as wide as `width`.
function crop(labels, width, box) {
  const result = new Uint8Array(box[0] * box[1]);
  for (let y = 0; y < box[0]; y++) {
    for (let x = 0; x < box[1]; x++) result[y * box[1] + x] = labels[y * width + x];
  }
  return result;
}

// Labels of a picture that was shrunk at its own size: those of the nearest pixels.
function restore(labels, box, size) {
  const near = [0, 1].map((axis) =>
    Uint32Array.from({ length: size[axis] }, (_, i) =>
      Math.min(((i + 0.5) * box[axis]) / size[axis], box[axis] - 1)));
  const result = new Uint8Array(size[0] * size[1]);
  for (let y = 0, to = 0; y < size[0]; y++) {
    const row = near[0][y] * box[1];
    for (let x = 0; x < size[1]; x++) result[to++] = labels[row + near[1][x]];
  }
  return result;
}

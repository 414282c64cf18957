// Runs the network apart from the page, which so answers meanwhile.
"use strict";
importScripts("image.js");

const base = new URL("./", location.href);
const threads = self.crossOriginIsolated;
// Where the runtime finds its .wasm file and its threads their program, and what of its
// log is worth a line.
self.Module = {
  locateFile: (name) => new URL(`litert/${name}`, base).href,
  mainScriptUrlOrBlob: new URL("litert/litert_wasm_threaded_internal.js", base).href,
  printErr: (line) => /^(INFO|WARNING|VERBOSE)/.test(line) || console.error(line),
};

async function start() {
  const fetched = async (name) => {
    const response = await fetch(new URL(name, base), { cache: "no-cache" });
    if (!response.ok) throw new Error(`${name}: the server answers ${response.status}.`);
    return response;
  };
  const settings = await (await fetched("page.json")).json();
  const content = new Uint8Array(await (await fetched("model.tflite")).arrayBuffer());
  const litert = await import(new URL("litert/index.js", base).href);
  const runtime = new URL("litert/", base).href;
  // A browser may give threads and lack what else they need: then without.
  await litert.loadLiteRt(runtime, { threads })
    .catch((error) => threads ? litert.loadLiteRt(runtime) : Promise.reject(error));
  const model = await litert.loadAndCompile(content, { accelerator: "wasm" });
  const count = model.options.cpuOptions.numThreads ?? 1;
  if (count > 1) settings.runtime += `, ${count} threads`;
  return { settings, litert, model };
}

const started = start();
started.then(
  ({ settings }) => postMessage({ settings }),
  (error) => postMessage({ failure: String(error?.message ?? error) }),
);

function pixels(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

async function segment({ settings, litert, model }, picture) {
  const { size, fill } = settings;
  const Kind = settings.type === "uint8" ? Uint8Array : Float32Array;
  const { input, box } = fit(picture, size, fill, Kind);
  const begin = performance.now();
  const tensor = new litert.Tensor(input, [1, ...size, 3]);
  const [output] = await model.run([tensor]);
  const labels = crop(output.toTypedArray(), size[1], box);
  const milliseconds = performance.now() - begin;
  tensor.delete();
  output.delete();
  return { labels, box, milliseconds, size: [picture.height, picture.width] };
}

// One picture after the other: the runtime has one input.
let last = Promise.resolve();
onmessage = ({ data: { id, bitmap } }) => {
  last = last.then(async () => {
    try {
      const result = await segment(await started, pixels(bitmap));
      postMessage({ id, result }, [result.labels.buffer]);
    } catch (error) {
      postMessage({ id, error: String(error?.message ?? error) });
    }
  });
};

// What the page cannot do without, and what to do where it is missing.
"use strict";

// The reason why the network cannot run here, as nodes to show; null: it can.
function problem() {
  if (location.protocol === "file:") {
    const folder = decodeURIComponent(location.pathname.replace(/[^/]*$/, "")) || ".";
    const command = `python -m http.server --bind 127.0.0.1 --directory '${folder}'`;
    return ["A browser runs no network from a file. Run ", code(command), " and open ",
            code("http://127.0.0.1:8000"), "."];
  }
  const needed = {
    WebAssembly: "WebAssembly", Worker: "workers", OffscreenCanvas: "off-screen canvases",
    createImageBitmap: "image bitmaps", CompressionStream: "compression",
  };
  const missing = Object.keys(needed).filter((name) => !(name in window));
  if (!missing.length) return null;
  return [`This browser has no ${missing.map((name) => needed[name]).join(", no ")}, ` +
          "or it is switched off. Chrome, Edge or Firefox of 2023, Safari 16.4 and " +
          "newer have it."];
}

function code(text) {
  const node = document.createElement("code");
  node.textContent = text;
  return node;
}

// Why there is no camera, in words; empty: there may be one.
function noCamera() {
  if (!window.isSecureContext) return "The camera needs https, or a server on localhost.";
  if (!navigator.mediaDevices?.getUserMedia) return "This browser gives no camera.";
  return "";
}

// Notes every wasm memory that the code after it makes or gets, so that its size can be asked for. A wasm memory never shrinks: its size is its peak.

const memories = new Set();

const { Memory, instantiate, instantiateStreaming, Instance } = WebAssembly;

function noteExports(instance) {
  for (const value of Object.values(instance.exports)) if (value instanceof Memory) memories.add(value);
  return instance;
}

WebAssembly.Memory = class extends Memory {
  constructor(descriptor) {
    super(descriptor);
    memories.add(this);
  }
};
WebAssembly.Instance = class extends Instance {
  constructor(...args) {
    super(...args);
    noteExports(this);
  }
};
for (const [name, original] of Object.entries({ instantiate, instantiateStreaming })) {
  WebAssembly[name] = async (...args) => {
    const result = await original(...args);
    noteExports(result.instance ?? result);
    return result;
  };
}

/** Bytes of all of them. */
globalThis.wasmBytes = () => [...memories].reduce((sum, memory) => sum + Number(memory.buffer.byteLength), 0);

// A worker whose messages are its engine's own is asked on a channel, which the address it imported this by names.
const [, name] = new URL(import.meta.url).search.split('?');
if (name) {
  const channel = new BroadcastChannel(name);
  channel.onmessage = ({ data }) => data === 'how much?' && channel.postMessage(globalThis.wasmBytes());
}

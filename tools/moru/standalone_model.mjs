
// ---- the same for every model --------------------------------------------------------------------------------------

const alignment = 64;
const round_up = (bytes) => Math.ceil(bytes / alignment) * alignment;
const count = (shape) => shape.reduce((product, size) => product * size, 1);

/** Loads the model from the bytes of its file (ArrayBuffer or typed array) or a compiled WebAssembly.Module. */
export async function load(source) {
  const loaded = await WebAssembly.instantiate(source, {});
  return new Model((loaded.instance ?? loaded).exports);
}

class Model {
  #wasm;
  #arena;      // its address
  #bytes = 0;  // of the arena so far

  constructor(wasm) {
    this.#wasm = wasm;
    this.#arena = round_up(wasm.__heap_base.value);
    this.#reserve(state_bytes);
    if (state_bytes > 0) this.#call("init", []);
    // model.predict(sizes, inputs): {name: typed array}, by the name of each output.
    for (const name of Object.keys(entries)) this[name] = (sizes = {}, inputs = {}) => this.#run(name, sizes, inputs);
  }

  /** The current values of a parameter or of state, as a copy. */
  get(name) {
    const { type, offset, length } = find(state, name, "state");
    return new type(this.#wasm.memory.buffer, this.#arena + offset, length).slice();
  }

  /** Overwrites them: set("learning_rate", [0.01]). What parameters are packed into follows by itself. */
  set(name, values) {
    const { type, offset, length } = find(state, name, "state");
    if (values.length !== length) throw new RangeError(`'${name}' has ${length} elements, not ${values.length}`);
    new type(this.#wasm.memory.buffer, this.#arena + offset, length).set(values);
    new BigInt64Array(this.#wasm.memory.buffer, this.#arena + prepared_at, 1)[0] = 0n;
  }

  /** Everything that the model has learned, as bytes for restore(). */
  save() {
    return new Uint8Array(this.#wasm.memory.buffer, this.#arena, state_bytes).slice();
  }

  restore(saved) {
    if (saved.length !== state_bytes) throw new RangeError(`saved state has ${state_bytes} bytes, not ${saved.length}`);
    new Uint8Array(this.#wasm.memory.buffer, this.#arena, state_bytes).set(saved);
  }

  #run(name, sizes, inputs) {
    const entry = entries[name];
    const given = entry.sizes.map((size) => {
      if (!Number.isSafeInteger(sizes[size])) throw new TypeError(`${name} needs the size '${size}': ${name}({${size}: 1}, ...)`);
      return BigInt(sizes[size]);
    });
    this.#reserve(Number(this.#wasm[prefix + "arena_bytes"](...all_sizes.map((size) => BigInt(sizes[size] ?? 1)))));

    // Inputs and outputs lie behind the arena.
    let end = this.#arena + this.#bytes;
    const place = ([argument, { type, shape }]) => {
      const sized = shape(sizes), address = end, length = count(sized);
      end += round_up(length * type.BYTES_PER_ELEMENT);
      return { argument, type, shape: sized, address, length };
    };
    const into = Object.entries(entry.inputs).map(place), out = Object.entries(entry.outputs).map(place);
    this.#grow(end);
    for (const { argument, type, shape, address, length } of into) {
      const values = inputs[argument];
      if (values === undefined) throw new TypeError(`${name} needs the input '${argument}' [${shape}]`);
      if (values.length !== length)
        throw new RangeError(`the input '${argument}' [${shape}] has ${length} elements, not ${values.length}`);
      new type(this.#wasm.memory.buffer, address, length).set(values);
    }
    this.#call(name, [...given, ...into.map((input) => input.address), ...out.map((output) => output.address)]);
    const results = {};
    for (const { argument, type, address, length } of out)
      results[argument] = new type(this.#wasm.memory.buffer, address, length).slice();
    return results;
  }

  #call(name, rest) {
    const code = this.#wasm[prefix + name](this.#arena, BigInt(this.#bytes), ...rest);
    if (code !== 0) throw new Error(`${name}: ${codes[code] ?? `code ${code}`}`);
  }

  #reserve(bytes) {
    this.#bytes = Math.max(this.#bytes, round_up(bytes));
    this.#grow(this.#arena + this.#bytes);
  }

  #grow(bytes) {
    const page = 65536, missing = bytes - this.#wasm.memory.buffer.byteLength;
    if (missing > 0) this.#wasm.memory.grow(Math.ceil(missing / page));
  }
}

function find(list, name, what) {
  if (!Object.hasOwn(list, name)) throw new RangeError(`there is no ${what} '${name}'; there are ${Object.keys(list).join(", ")}`);
  return list[name];
}

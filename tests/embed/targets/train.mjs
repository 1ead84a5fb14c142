// Trains and predicts with a module of `moru compile -o m.wasm`: prints what train_runtime.c prints. In Node:
//   node train.mjs m.mjs m.wasm
// In a page, `train` is called with what m.mjs exports and the module's bytes.
export async function train({ load }, bytes) {
  const batch = 8, steps = 20, features = 24 * 16;
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 16) / 32768 - 1;
  };
  const lines = [];
  const print = (name, numbers) => {
    for (const bits of new Uint32Array(Float32Array.from(numbers).buffer)) lines.push(`${name} ${bits.toString(16).padStart(8, "0")}`);
  };

  const model = await load(bytes);
  const window = new Float32Array(batch * features), target = new Float32Array(batch);
  const fails = (call, message) => {
    try {
      call();
    } catch (error) {
      if (error.message.includes(message)) return;
    }
    throw new Error(`a wrong call was not refused with '${message}'`);
  };
  fails(() => model.predict({}, { window }), "needs the size 'batch'");
  fails(() => model.predict({ batch }, {}), "needs the input 'window' [8,24,16]");
  fails(() => model.predict({ batch }, { window: target }), "has 3072 elements, not 8");
  fails(() => model.predict({ batch: 0 }, { window: [] }), "a size below 1");
  fails(() => model.get("nothing"), "there is no state 'nothing'");

  let saved;
  for (let step = 0; step < steps; ++step) {
    for (let i = 0; i < window.length; ++i) window[i] = next();
    for (let i = 0; i < batch; ++i) target[i] = Math.fround(Math.fround(500 * Math.fround(next())) + 700);
    if (step === steps / 2) saved = model.save();
    print("loss", model.train_step({ batch }, { window, "count/target": target }).loss);
  }
  const after = model.predict({ batch }, { window }).count;
  print("prediction", after);

  // What was saved comes back, into another instance too; and what is set takes effect.
  const learned = model.save();
  const other = await load(bytes);
  other.restore(saved);
  if (other.predict({ batch }, { window }).count.every((value, i) => value === after[i])) throw new Error("an older state predicts the same");
  other.restore(learned);
  if (!other.predict({ batch }, { window }).count.every((value, i) => value === after[i])) throw new Error("restored state predicts otherwise");
  other.set("count/kernel", other.get("count/kernel").map(() => 0));
  if (other.predict({ batch }, { window }).count.some((value, i, all) => value !== all[0])) throw new Error("set() had no effect");
  return lines.join("\n") + "\n";
}

if (globalThis.process?.argv[1]?.endsWith("train.mjs")) {
  const { readFile } = await import("node:fs/promises");
  const { pathToFileURL } = await import("node:url");
  const [script, module] = process.argv.slice(2);
  process.stdout.write(await train(await import(pathToFileURL(script)), await readFile(module)));
}

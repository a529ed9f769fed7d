import { Bar } from "../build/stubs/tickserve/v1/tick.js";

export const FEATURES = 50;
export const STEPS = 60;

const FIRST_BAR_MS = Date.UTC(2024, 0, 1);

/** Returns a window's values, feature-major: those of a file's bytes, or made up, the same in every language. */
export function windowValues(file?: Buffer): Float32Array {
  const count = FEATURES * STEPS;
  if (file === undefined) return Float32Array.from({ length: count }, (_, i) => (((i * 37) % 201) - 100) / 50);
  if (file.length !== 4 * count) throw new Error(`the window has ${file.length} bytes, not ${4 * count}`);
  return Float32Array.from({ length: count }, (_, i) => file.readFloatLE(4 * i));
}

/** Returns values as the contract's bytes: little-endian IEEE 754. */
export function rawFloat32(values: Float32Array): Buffer {
  const raw = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => raw.writeFloatLE(value, 4 * i));
  return raw;
}

/** Returns the made-up bar of a number, the same in every language; `interval` is in seconds. */
export function bar(number: number, interval: number): Bar {
  const price = (i: number): number => 1.1 + (((i * 37) % 101) - 50) / 10_000;
  const openPrice = price(number);
  const closePrice = price(number + 1);
  return {
    startTime: new Date(FIRST_BAR_MS + number * interval * 1_000),
    openPrice,
    highPrice: Math.max(openPrice, closePrice) + 0.0004,
    lowPrice: Math.min(openPrice, closePrice) - 0.0004,
    closePrice,
    volume: 1_000 + ((number * 53) % 97) * 10,
  };
}

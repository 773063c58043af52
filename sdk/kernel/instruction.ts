/**
 * Instruction: how long each instruction of WebAssembly is, for the ones that kernels may have.
 *
 * They may have everything that `asc` makes by default: the first version, sign extension, saturating conversions, bulk
 * memory and vectors. Threads, exceptions, tail calls, garbage collection and changes to tables are refused: nothing here
 * needs them, and each would be a way around a limit.
 */
import { malformed, type Reader } from './binary.ts';

/** The instructions that a budget or a limit looks at. */
export const OP = {
  UNREACHABLE: 0x00,
  BLOCK: 0x02,
  LOOP: 0x03,
  IF: 0x04,
  END: 0x0b,
  RETURN: 0x0f,
  CALL: 0x10,
  CALL_INDIRECT: 0x11,
  LOCAL_GET: 0x20,
  LOCAL_SET: 0x21,
  LOCAL_TEE: 0x22,
  GLOBAL_GET: 0x23,
  GLOBAL_SET: 0x24,
  MEMORY_SIZE: 0x3f,
  MEMORY_GROW: 0x40,
  I32_CONST: 0x41,
  I32_LT_S: 0x48,
  I32_SUB: 0x6b,
  I32_SHR_U: 0x76,
  BULK: 0xfc,
  VECTOR: 0xfd,
} as const;

/** Of the bulk instructions, the two whose work grows with a number on the stack. */
export const BULK = { MEMORY_INIT: 8, DATA_DROP: 9, MEMORY_COPY: 10, MEMORY_FILL: 11 } as const;

/** One instruction. */
export interface Instruction {
  op: number;
  /** The second number of those that have two. */
  second: number;
  /** Where it begins. */
  start: number;
}

/** Types of one byte: numbers, vectors, functions, references, nothing. */
function blockType(reader: Reader): void {
  if (reader.bytes[reader.at]! >= 0x40 && reader.bytes[reader.at]! < 0x80) reader.skip(1);
  else reader.skipNumber();
}

function memoryArgument(reader: Reader): void {
  // Bit 6 names another memory than the first; a kernel has one.
  if (reader.u32() >= 64) throw malformed('it names a second memory');
  reader.skipNumber();
}

function skipBulk(reader: Reader): number {
  const second = reader.u32();
  if (second <= 7) return second;
  if (second === BULK.MEMORY_INIT) reader.skipNumber();
  else if (second === BULK.MEMORY_COPY) reader.skip(1);
  else if (second === BULK.DATA_DROP) {
    reader.skipNumber();
    return second;
  } else if (second !== BULK.MEMORY_FILL) throw refused(OP.BULK, second);
  reader.skip(1);
  return second;
}

function skipVector(reader: Reader): number {
  const second = reader.u32();
  if (second <= 11 || second === 92 || second === 93) memoryArgument(reader);
  else if (second === 12 || second === 13) reader.skip(16);
  else if (second >= 21 && second <= 34) reader.skip(1);
  else if (second >= 84 && second <= 91) {
    memoryArgument(reader);
    reader.skip(1);
  } else if (second > 275) throw refused(OP.VECTOR, second);
  return second;
}

function refused(...bytes: number[]): Error {
  const code = bytes.map((byte) => `0x${byte.toString(16)}`).join(' ');
  return malformed(`it has the instruction ${code}, which kernels may not have`);
}

/** Reads one instruction, with all that belongs to it. */
export function readInstruction(reader: Reader): Instruction {
  const start = reader.at;
  const op = reader.byte();
  let second = 0;
  if (op === OP.BLOCK || op === OP.LOOP || op === OP.IF) blockType(reader);
  else if (op === 0x0c || op === 0x0d || op === OP.CALL) reader.skipNumber();
  else if (op === 0x0e) for (let count = reader.u32() + 1; count > 0; count -= 1) reader.skipNumber();
  else if (op === OP.CALL_INDIRECT) {
    reader.skipNumber();
    reader.skipNumber();
  } else if (op === 0x1c) for (let count = reader.u32(); count > 0; count -= 1) reader.skip(1);
  else if (op >= 0x20 && op <= 0x25) reader.skipNumber();
  else if (op >= 0x28 && op <= 0x3e) memoryArgument(reader);
  else if (op === OP.MEMORY_SIZE || op === OP.MEMORY_GROW) reader.skip(1);
  else if (op === OP.I32_CONST || op === 0x42) reader.skipNumber();
  else if (op === 0x43) reader.skip(4);
  else if (op === 0x44) reader.skip(8);
  else if (op === 0xd0) reader.skip(1);
  else if (op === 0xd2) reader.skipNumber();
  else if (op === OP.BULK) second = skipBulk(reader);
  else if (op === OP.VECTOR) second = skipVector(reader);
  else if (!isPlain(op)) throw refused(op);
  return { op, second, start };
}

/** Instructions of one byte. */
function isPlain(op: number): boolean {
  if (op === 0x00 || op === 0x01 || op === 0x05 || op === 0x0b || op === 0x0f) return true;
  return op === 0x1a || op === 0x1b || op === 0xd1 || (op >= 0x45 && op <= 0xc4);
}

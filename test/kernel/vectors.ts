/**
 * Vectors: the same built kernels over the same records as in every other language, and their sources compiled anew.
 */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Kernel, type KernelError, kernel } from '../../sdk/index.ts';
import { parseSchema, type StructDescription } from '../../sdk/struct.ts';
import { failureOf } from '../scratch.ts';

interface Case {
  name: string;
  source: string[];
  kind: string;
  output?: string;
  budget?: number;
  memory_bytes?: number;
  wasm: string;
  result?: string;
  turns?: number;
  error?: { reason: string; record: number };
}

interface Document {
  schema: Record<string, StructDescription>;
  records: string;
  cases: Case[];
}

const vectors = suite('kernel vectors');
const document: Document = JSON.parse(readFileSync(new URL('../vectors/kernels.json', import.meta.url), 'utf8'));
const records = Buffer.from(document.records, 'hex');

async function check(name: string, tested: Kernel, { kind, result, turns, error }: Case): Promise<void> {
  assert.is(tested.kind, kind);
  if (error !== undefined) {
    const { reason, record } = (await failureOf(() => tested.apply(records))) as KernelError;
    assert.equal({ reason, record }, error, name);
    return;
  }
  assert.is(Buffer.from(tested.apply(records).toBytes()).toString('hex'), result, name);
  assert.is(tested.counters.turns, turns, name);
  // Once more: what it left behind does no harm.
  if (kind === 'map') assert.is(Buffer.from(tested.apply(records).toBytes()).toString('hex'), result, name);
}

vectors('built kernels answer as everywhere', async () => {
  for (const vector of document.cases) {
    const built = await kernel(Buffer.from(vector.wasm, 'base64'), { budget: vector.budget });
    assert.is(built.name, vector.name);
    await check(vector.name, built, vector);
  }
});

vectors('their sources compile to kernels that answer the same', async () => {
  for (const vector of document.cases) {
    const { record, output } = parseSchema({
      record: document.schema.record,
      output: vector.output === undefined ? undefined : document.schema[vector.output],
    });
    const { name, budget, memory_bytes: memoryBytes } = vector;
    const compiled = await kernel(vector.source.join('\n'), { record, output, name, budget, memoryBytes });
    await check(name, compiled, vector);
  }
});

vectors.run();

import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { age, Paper, printable, short, size } from '../sdk/command/paper.ts';
import { Region } from '../sdk/index.ts';
import { packaged } from './built.ts';
import { eventually, Pair } from './scratch.ts';

const command = suite('command');
const WORDS = packaged('sdk/command/main.ts').slice(1);

function run(...words: string[]): { stdout: string; stderr: string; status: number | null } {
  return spawnSync(process.execPath, [...WORDS, ...words], { encoding: 'utf8' });
}

/** The lines of a command that ended well, each split at its tabs. */
function lines(...words: string[]): string[][] {
  const { stdout, stderr, status } = run(...words);
  assert.is(status, 0, stderr);
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split('\t'));
}

/** The objects that a command printed. */
function objects(...words: string[]): Record<string, unknown>[] {
  return lines(...words, '--json').map(([line]) => JSON.parse(line!));
}

command('says how it is used', () => {
  const { stdout, status } = run('--help');
  assert.is(status, 0);
  for (const name of ['ls', 'top', 'doctor', 'tail', 'unblock', 'rm']) assert.match(stdout, `tailrace ${name}`);
  assert.is(run().status, 2);
});

command('says what it did not understand', () => {
  for (const words of [
    ['bogus'],
    ['ls', '--nope'],
    ['top'],
    ['ls', 'a', 'b'],
    ['top', 'a', '--count', 'x'],
    ['toString'],
  ]) {
    const { stderr, stdout, status } = run(...words);
    assert.is(status, 2, words.join(' '));
    assert.match(stderr, /^tailrace: .+\n$/);
    assert.is(stdout, '');
  }
});

command('says what failed', () => {
  const { stderr, status } = run('ls', '/dev/shm/there-is-no-such-region');
  assert.is(status, 1);
  assert.match(stderr, /^tailrace: ERR_NOT_FOUND: /);
});

command('ls lists regions and channels', () => {
  using pair = new Pair({ capacity: 16 });
  pair.write('a');
  const [region] = lines('ls').filter(([path]) => path === pair.path);
  assert.equal(region?.slice(1, 2), ['1']);
  assert.equal(region?.slice(4), ['2', '0', '-']);
  const [channel] = lines('ls', pair.path);
  assert.equal(channel?.slice(0, 5), ['c', 'queue', '16', '1', '1']);
  const [object] = objects('ls', pair.path);
  assert.is(object?.name, 'c');
  assert.is(object?.producers, 1);
  assert.is(object?.consumers, 1);
});

command('top tells rates and who is attached', () => {
  using pair = new Pair();
  using gateway = pair.region.openProducer('c', { label: 'gate\tway\n' });
  gateway.write(Buffer.from('a'));
  const found = lines('top', pair.path, '--interval', '0.05');
  assert.equal(
    found.map(([kind]) => kind),
    ['channel', 'participant', 'participant', 'participant'],
  );
  assert.is(found[0]?.[4], '1');
  assert.is(found[3]?.[2], 'gate\uFFFDway\uFFFD');
  assert.is(found[3]?.[1], String(process.pid));
  const twice = objects('top', pair.path, '--interval', '0.01', '--count', '2');
  assert.is(twice.filter(({ table }) => table === 'channel').length, 2);
});

command('doctor looks at the machine and at regions', () => {
  using pair = new Pair();
  const findings = objects('doctor', pair.path);
  const ids = findings.map(({ id }) => String(id));
  for (const id of ['platform', 'addon', 'layout.rust', 'shared-memory', 'remove-ipc', 'clock', 'sleeping']) {
    assert.ok(ids.includes(id), id);
  }
  for (const { verdict, why, advice } of findings) {
    assert.ok(['ok', 'warn', 'fail'].includes(String(verdict)));
    assert.is(verdict === 'ok', why === '' && advice === '');
  }
  assert.match(String(findings.at(-1)?.seen), /1 channels, 2 live handles/);
});

command('doctor fails without the library, and says what was tried', () => {
  const env = { ...process.env, TAILRACE_LIBRARY: '/no/such/library' };
  const { stdout, status } = spawnSync(process.execPath, [...WORDS, 'doctor'], { encoding: 'utf8', env });
  assert.is(status, 1);
  assert.match(stdout, /^addon\tfail\t.*\/no\/such\/library/m);
});

command('doctor finds the dead', async () => {
  using pair = new Pair();
  const program = `
    import { Region } from ${JSON.stringify(import.meta.resolve('../sdk/index.ts'))};
    const producer = Region.open(${JSON.stringify(pair.path)}).openProducer('c', { label: 'victim' });
    process.stdout.write('ready');
    setInterval(() => producer, 1000);`;
  const words = ['--import', import.meta.resolve('tsx'), '--input-type=module', '--eval', program];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let isReady = false;
  child.stdout.once('data', () => {
    isReady = true;
  });
  await eventually(() => isReady);
  child.kill('SIGKILL');
  await eventually(() => pair.region.stats().participants.some(({ isAlive }) => !isAlive));
  const finding = objects('doctor', pair.path).at(-1);
  assert.is(finding?.verdict, 'warn');
  assert.match(String(finding?.seen), /1 dead participants: \d+ \(victim\)/);
});

command('tail prints messages of a stream', () => {
  using pair = new Pair({ kind: 'stream' });
  pair.producer.write(Buffer.from('plain'), { type: 5 });
  pair.producer.write(new Uint8Array([0, 255]));
  const [first, second] = objects('tail', pair.path, 'c', '--from', 'oldest', '--count', '2');
  assert.is(first?.sequence, '1');
  assert.is(first?.type, 5);
  assert.is(first?.text, 'plain');
  assert.is(second?.base64, 'AP8=');
  const [line] = lines('tail', pair.path, 'c', '--from', 'oldest', '--count', '1');
  assert.is(line?.at(-1), Buffer.from('plain').toString('base64'));
});

command('tail follows until it is interrupted, and finds the region of a channel by itself', async () => {
  using region = Region.create(`/dev/shm/tailrace-command-${process.pid}`);
  const channel = `only-${process.pid}`;
  region.createChannel(channel, { kind: 'stream' });
  using producer = region.openProducer(channel);
  const child = spawn(process.execPath, [...WORDS, 'tail', channel, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  try {
    await eventually(() => region.stats().participants.length === 2);
    producer.write(Buffer.from('live'));
    await eventually(() => output.includes('"text":"live"'));
    child.kill('SIGINT');
    await eventually(() => child.exitCode === 130);
    assert.is(region.stats().participants.length, 1);
  } finally {
    Region.remove(region.path);
  }
});

command('tail takes nothing away, and holds nobody back, unless it is told to', () => {
  using pair = new Pair();
  pair.write('a', 'b');
  const refused = run('tail', pair.path, 'c');
  assert.is(refused.status, 1);
  assert.match(refused.stderr, /is a queue.*--take/);
  assert.is(pair.consumer.depth, 2);
  assert.is(objects('tail', pair.path, 'c', '--take', '--count', '1')[0]?.text, 'a');
  assert.is(pair.consumer.poll().at(0)?.text(), 'b');
  using gated = new Pair({ kind: 'stream', gated: true });
  assert.match(run('tail', gated.path, 'c').stderr, /is gated.*--hold/);
});

command('unblock says that there is nothing to do', () => {
  using pair = new Pair();
  assert.equal(lines('unblock', pair.path), []);
  assert.equal(lines('unblock', pair.path, 'c', '--force', '--drop'), []);
  assert.is(run('unblock', pair.path, 'nobody').status, 1);
});

command('rm removes what nobody uses', () => {
  const pair = new Pair();
  const refused = run('rm', pair.path);
  assert.is(refused.status, 1);
  assert.match(refused.stderr, new RegExp(`is open in process ${process.pid}; --force`));
  assert.ok(existsSync(pair.path));
  assert.equal(lines('rm', pair.path, '--force'), [[pair.path]]);
  assert.not(existsSync(pair.path));
  pair[Symbol.dispose]();
});

command('ends in peace when its reader leaves', () => {
  using pair = new Pair({ kind: 'stream', capacity: 1_024 });
  for (let index = 0; index < 1_000; index += 1) pair.write('x'.repeat(100));
  const words = [process.execPath, ...WORDS, 'tail', pair.path, 'c', '--from', 'oldest'].map((word) => `'${word}'`);
  const { status, stderr } = spawnSync('bash', ['-o', 'pipefail', '-c', `${words.join(' ')} | head -n 1`], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.is(stderr, '');
  assert.is(status, 0);
});

command('prints tables for people', () => {
  const printed: string[] = [];
  const stream = { isTTY: true, write: (text: string) => printed.push(text), on: () => {} };
  const paper = new Paper(stream as never, false);
  const columns = [
    { title: 'NAME', value: (row: { name: string; bytes: number }) => row.name },
    { title: 'BYTES', value: (row: { name: string; bytes: number }) => row.bytes, color: () => 'red' as const },
  ];
  paper.table(columns, [
    { name: 'a', bytes: 1 },
    { name: 'bbbbb', bytes: 100 },
  ]);
  const text = stripVTControlCharacters(printed.join(''));
  assert.is(text, 'NAME   BYTES\na          1\nbbbbb    100\n');
  assert.is(printed.join('').includes('\u001B'), !process.env.NO_COLOR);
});

command('has short forms of numbers', () => {
  assert.equal([0, 999, 1_000, 12_345, 999_999, 1.5e9].map(short), ['0', '999', '1.0 k', '12.3 k', '1000 k', '1.5 G']);
  assert.equal([0, 1_023, 1_024, 1_536, 64 << 20].map(size), ['0 B', '1023 B', '1 KiB', '1.5 KiB', '64 MiB']);
  assert.equal([null, 0.05, 12, 1_500, 120_000, 7.2e6].map(age), ['-', '50 us', '12 ms', '1.5 s', '2 min', '2 h']);
  assert.is(printable('a\u001B[2Jb'), 'a\uFFFD[2Jb');
});

command.run();

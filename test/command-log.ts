import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { metered } from '../sdk/command/meter.ts';
import { start } from '../sdk/command/words.ts';
import { Log } from '../sdk/index.ts';
import { failureOf } from './scratch.ts';
import { complaint, lines, objects, Running, run, split } from './shell.ts';

const command = suite('command-log');
const folder = mkdtempSync(join(tmpdir(), 'tailrace-command-log-'));
let places = 0;

/** A directory that nobody uses. */
const place = () => join(folder, String(places++));
const bytes = (text: string) => Buffer.from(text);

command.after(() => rmSync(folder, { recursive: true, force: true }));

/** A log with `count` records in batches of one, in several segments. */
async function written(count: number): Promise<string> {
  const path = place();
  await using log = await Log.open(path, { segmentBytes: 65_536 });
  for (let index = 1; index <= count; index += 1) {
    const timestamp = BigInt(Date.UTC(2026, 0, 1, 0, 0, index)) * 1_000_000n;
    await log.append(bytes(`record ${index}`), { type: index, timestamp, durability: 'memory' });
  }
  return path;
}

/** Flips a bit of the record that has this payload. */
function damage(path: string, payload: string): string {
  for (const name of readdirSync(path).filter((name) => name.endsWith('.log'))) {
    const content = readFileSync(join(path, name));
    const at = content.indexOf(payload);
    if (at < 0) continue;
    content[at]! ^= 1;
    writeFileSync(join(path, name), content);
    return name;
  }
  throw new Error(`no segment holds ${payload}`);
}

command('help tells of recording and of logs', () => {
  const { stdout } = run('--help');
  for (const name of ['record', 'log stat', 'log verify', 'log repair', 'log cat']) {
    assert.match(stdout, `tailrace ${name}`);
  }
});

command('says what it did not understand', () => {
  const cases: [words: string[], sentence: RegExp][] = [
    [['record', 'r', 'c'], /--dir is missing; give the directory of the log/],
    [['record', 'r'], /something is missing/],
    [['record', 'r', 'c', 'd', '--dir', 'x'], /"d" is too much/],
    [['record', 'r', 'c', '--dir', 'x', '--segment-bytes', '5'], /--segment-bytes is "5"; give .* from 65,536 on/],
    [['record', 'r', 'c', '--dir', 'x', '--retention-days', '1.5'], /--retention-days is "1.5"; give a whole number/],
    [['record', 'r', 'c', '--dir', 'x', '--retention-bytes', '0'], /--retention-bytes is "0"; give .* from 1 on/],
    [['record', 'r', 'c', '--dir', 'x', '--nope'], /--nope/],
    [['log'], /log what\? give stat, verify, repair or cat/],
    [['log', 'bogus', 'x'], /there is no command "log bogus"/],
    [['log', 'toString', 'x'], /there is no command "log toString"/],
    [['log', 'stat'], /something is missing/],
    [['log', 'verify', 'a', 'b'], /"b" is too much/],
    [['log', 'cat', 'x', '--from', 'yesterday'], /--from is "yesterday"; give oldest, latest, a sequence, or a time/],
    [['log', 'cat', 'x', '--from', '0'], /sequences begin with 1/],
    [['log', 'cat', 'x', '--count', 'many'], /--count is "many"/],
  ];
  for (const [words, sentence] of cases) assert.match(complaint(2, ...words), sentence);
});

command('says what is not there, and what is no log', () => {
  for (const name of ['stat', 'verify', 'repair', 'cat']) {
    assert.match(complaint(1, 'log', name, place()), /^tailrace: ERR_NOT_FOUND: /, name);
  }
  const strange = mkdtempSync(join(folder, 'strange-'));
  writeFileSync(join(strange, '00000000000000000001.log'), 'no log '.repeat(100));
  assert.match(complaint(1, 'log', 'stat', strange), /^tailrace: ERR_(FOREIGN|CORRUPT): /);
});

command('log stat tells what a log holds', async () => {
  const path = await written(1_200);
  const [log, ...segments] = lines('log', 'stat', path);
  assert.equal(log?.slice(0, 2), ['log', path]);
  assert.equal(log?.slice(3, 6), ['1', '1200', '1200']);
  assert.equal([log?.[6], log?.[8], log?.[9]], [String(segments.length), 'false', 'ok']);
  assert.ok(segments.length > 1);
  assert.equal(segments[0]?.slice(0, 3), ['segment', '00000000000000000001.log', '1']);
  const [object, segment] = objects('log', 'stat', path);
  assert.equal([object?.table, object?.lastSequence, object?.segments], ['log', '1200', segments.length]);
  assert.equal([segment?.table, segment?.firstSequence], ['segment', '1']);
});

command('log verify reads all of a log', async () => {
  const path = await written(1_200);
  const [line, ...others] = lines('log', 'verify', path);
  assert.is(others.length, 0);
  assert.equal([line?.[0], line?.[2], line?.slice(5)], [path, '1200', ['1', '1200', '0']]);
  const [object] = objects('log', 'verify', path);
  assert.equal([object?.records, object?.lastSequence], [1_200, '1200']);
});

command('log repair says what it would do, does it when it is told to, and says what is lost', async () => {
  const path = await written(1_200);
  assert.equal(lines('log', 'repair', path), []);
  const name = damage(path, 'record 7');
  const advice = complaint(1, 'log', 'verify', path);
  assert.match(advice, /^tailrace: ERR_CORRUPT: /);
  assert.match(advice, new RegExp(`${name}.*tailrace log repair ${path}`));
  const damaged = readFileSync(join(path, name));
  assert.match(complaint(1, 'log', 'repair', path), /\.broken.*tailrace log repair .* --yes\n$/s);
  assert.equal(readFileSync(join(path, name)), damaged);
  const found = lines('log', 'repair', path, '--yes');
  assert.equal(found[0], ['log', path, '1', '1', 'false', '1200']);
  assert.equal(found[1], ['lost', '7', '7']);
  assert.is(found[2]?.[0], 'aside');
  assert.equal(readFileSync(join(path, found[2]?.[1] ?? '')), damaged);
  assert.is(lines('log', 'verify', path)[0]?.[2], '1200');
  assert.is(lines('log', 'cat', path, '--from', '5', '--count', '3').at(-1)?.[0], '8');
  const [object] = objects('log', 'repair', path, '--yes');
  assert.equal([object?.table, object?.lostRecords, object?.lastSequence], ['log', 0, '1200']);
});

command('log repair sees damaged positions of groups, and leaves a log alone that is written', async () => {
  const path = await written(3);
  {
    await using _log = await Log.open(path);
    assert.match(complaint(1, 'log', 'repair', path, '--yes'), /^tailrace: ERR_BUSY: /);
  }
  writeFileSync(join(path, 'cursors'), Buffer.alloc(131_072, 1));
  assert.match(complaint(1, 'log', 'repair', path), /ERR_CORRUPT: .*cursors.*--yes/);
  const [object, aside] = objects('log', 'repair', path, '--yes');
  assert.equal([object?.isCursorsAside, object?.lostRecords], [true, 0]);
  assert.match(String(aside?.file), /\.broken$/);
});

command('log cat prints records from anywhere, up to the end', async () => {
  const path = await written(1_200);
  const all = lines('log', 'cat', path);
  assert.equal(
    all.map(([sequence]) => Number(sequence)),
    Array.from({ length: 1_200 }, (_, index) => index + 1),
  );
  const time = BigInt(Date.UTC(2026, 0, 1, 0, 0, 3)) * 1_000_000n;
  const payload = bytes('record 3').toString('base64');
  assert.equal(all[2], ['3', String(time), '3', String(process.pid), '8', payload]);
  const sequences = (...words: string[]) => objects('log', 'cat', path, ...words).map(({ sequence }) => sequence);
  assert.equal(sequences('--from', '1199'), ['1199', '1200']);
  assert.equal(sequences('--from', '2026-01-01T00:00:05Z', '--count', '2'), ['5', '6']);
  assert.equal(sequences('--from', 'latest'), []);
  assert.equal(sequences('--count', '0'), []);
  const [object] = objects('log', 'cat', path, '--from', '2', '--count', '1');
  assert.equal([object?.text, object?.type, object?.timestamp], ['record 2', 2, String(time - 1_000_000_000n)]);
});

command('log cat follows the end until it is interrupted', async () => {
  const path = await written(2);
  using running = new Running(['log', 'cat', path, '--follow', '--json']);
  await running.printed(/"sequence":"2"/);
  await using log = await Log.open(path);
  await log.append(bytes('live'));
  await running.printed(/"text":"live"/);
  assert.is(await running.ended('SIGINT'), 130);
  const one = new Running(['log', 'cat', path, '--follow', '--from', '3', '--count', '2']);
  await one.printed(/^3\t/m);
  await log.append(bytes('last'));
  assert.is(await one.ended(), 0, one.stderr);
});

command('log cat says what is damaged, and what is not kept', async () => {
  const path = await written(1_200);
  damage(path, 'record 9');
  const { status, stdout, stderr } = run('log', 'cat', path);
  assert.is(status, 1);
  assert.match(stderr, /^tailrace: ERR_CORRUPT: /);
  assert.is(split(stdout).length, 8);
  const [segment] = readdirSync(path).sort();
  for (const name of readdirSync(path)) if (name.startsWith(segment!.slice(0, 20))) rmSync(join(path, name));
  assert.match(complaint(1, 'log', 'cat', path, '--from', '1'), /^tailrace: ERR_GONE: /);
});

command('shows on a terminal how far it has come, and leaves no trace of that', async () => {
  const printed: string[] = [];
  const stream = { isTTY: true, write: (text: string) => printed.push(text) > 0 };
  const answer = await metered(
    'verifying x',
    async (onProgress) => {
      onProgress?.({ doneBytes: 0, totalBytes: 0 });
      onProgress?.({ doneBytes: 1, totalBytes: 3 });
      onProgress?.({ doneBytes: 4, totalBytes: 3 });
      return 'done';
    },
    stream,
  );
  assert.is(answer, 'done');
  assert.equal(printed, ['\r\u001B[Kverifying x: 33 %', '\r\u001B[Kverifying x: 100 %', '\r\u001B[K']);
  printed.length = 0;
  const silent = { ...stream, isTTY: false };
  assert.is(await metered('x', async (onProgress) => onProgress, silent), undefined);
  await failureOf(() => metered('x', () => Promise.reject(new Error('no')), stream));
  assert.equal(printed, []);
});

command('understands where to begin', () => {
  assert.equal([undefined, 'oldest', 'latest', '12', '2026-01-01T00:00:00Z'].map(start), [
    'oldest',
    'oldest',
    'latest',
    12n,
    new Date(Date.UTC(2026, 0, 1)),
  ]);
  for (const text of ['0', '18446744073709551616', '-1', 'now', '2026-99-01']) assert.throws(() => start(text));
});

command.run();

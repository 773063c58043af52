/** The crew with small processes in place of the pipeline's: restarts, half lines, leaving, giving up. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { chaos } from '../../sdk/crew/chaos.ts';
import { Crew, type Death, type Post } from '../../sdk/crew/crew.ts';
import { Dice } from '../../sdk/crew/dice.ts';
import type { Line } from '../../sdk/crew/report.ts';

const test = suite('pipeline crew');
const READY = `console.log('{"report":"ready","cursor":7}');`;
const UNTIL_LET_GO = `process.stdin.resume(); process.stdin.on('end', () => process.exit(0));`;
const never = new AbortController().signal;

function post(name: string, program: string): Post {
  return { name, language: 'Node', command: (start) => [process.execPath, '-e', program, `${start}`] };
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('a member that dies is started again, and the death is recorded', async () => {
  const crew = new Crew();
  await crew.fill(post('a', READY + UNTIL_LET_GO), never);
  const member = crew.members[0]!;
  const victim = member.shift!.pid;
  const died = once(crew, 'died');
  crew.kill(member);
  await died;
  while (!crew.isWhole) await sleep(5);
  assert.is.not(member.shift!.pid, victim);
  assert.is(member.starts, 2);
  const death = crew.deaths[0] as Death;
  assert.equal([death.process, death.pid, death.signal], ['a', victim, 'SIGKILL']);
  assert.ok(death.back_ms !== null && death.back_ms > 0);
  await crew.dismiss(member);
  assert.is(crew.deaths.length, 1);
  assert.not.ok(isRunning(victim));
});

test('what it says before it leaves is heard, half a line is not', async () => {
  const crew = new Crew();
  const heard: Line[] = [];
  crew.on('report', (_member, _shift, report) => heard.push(report));
  const program = `${READY} process.stdin.resume(); process.stdin.on('end', () => {
    process.stdout.write('no json\\n{"report":"took","signals":[],"torn":0}\\n{"report":"rea');
  });`;
  await crew.fill(post('a', program), never);
  await crew.dismiss(crew.members[0]!);
  assert.equal(heard, [
    { report: 'ready', cursor: 7 },
    { report: 'took', signals: [], torn: 0 },
  ]);
});

test('one that is never ready fails after three tries, and one that does not exist at once', async () => {
  for (const [wrong, says] of [
    [post('a', 'process.exit(3)'), /a ended 3 times before it was ready \(exit 3\)/],
    [{ name: 'b', language: 'C', command: () => ['/no/such/program'] as const }, /b cannot be started: .*ENOENT/],
  ] as const) {
    const crew = new Crew();
    const failed = once(crew, 'failed');
    await crew.fill(wrong, never);
    assert.match(((await failed)[0] as Error).message, says);
    assert.not.ok(crew.isWhole);
    crew.abandon();
  }
});

test('what processes say to people is passed on by line', async () => {
  const crew = new Crew();
  const said = once(crew, 'said');
  await crew.fill(post('a', `console.error('something is odd');${READY}${UNTIL_LET_GO}`), never);
  assert.is((await said)[1], 'something is odd');
  await crew.dismiss(crew.members[0]!);
});

test('chaos kills only while everybody is at work, and stops when told', async () => {
  const crew = new Crew();
  const late = `setTimeout(() => { ${READY} }, 2500);${UNTIL_LET_GO}`;
  const filling = Promise.all([post('a', READY + UNTIL_LET_GO), post('b', late)].map((post) => crew.fill(post, never)));
  const ending = new AbortController();
  const trouble = chaos(crew, new Dice(1), ending.signal);
  await sleep(2_200);
  assert.is(crew.deaths.length, 0);
  await filling;
  await once(crew, 'died');
  ending.abort();
  await trouble;
  while (!crew.isWhole) await sleep(5);
  await Promise.all(crew.members.map((member) => crew.dismiss(member)));
  assert.is(crew.deaths.length, 1);
});

test('ending everybody at once leaves no process', async () => {
  const crew = new Crew();
  await crew.fill(post('a', READY + UNTIL_LET_GO), never);
  const { pid, ended } = crew.members[0]!.shift!;
  crew.abandon();
  await ended;
  assert.not.ok(isRunning(pid));
});

test.run();

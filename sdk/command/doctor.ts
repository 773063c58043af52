/**
 * Doctor: `tailrace doctor`, what is wrong with this machine, its regions and their logs, and what to
 * do.
 */
import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { TailraceError } from '../error.ts';
import type { ChannelInfo, RegionStats } from '../stats.ts';
import { type Finding, machineChecks, ok, type Verdict } from './checks.ts';
import { diskChecks } from './disk.ts';
import { age, type Column, type Paper, printable } from './paper.ts';
import { isFolder, openToLook, pathOf, regionsIn, SHARED_MEMORY } from './places.ts';
import { logOf, recordingChecks } from './recordings.ts';

/** A hole is filled within milliseconds; one that is a second old has nobody who can fill it, or is held by a pause. */
const OLD_MS = 1_000;

const VERDICTS: Record<Verdict, 'green' | 'yellow' | 'red'> = { ok: 'green', warn: 'yellow', fail: 'red' };

const FINDINGS: Column<Finding>[] = [
  { title: 'ID', value: (finding) => finding.id },
  { title: 'VERDICT', value: (finding) => finding.verdict },
  { title: 'SEEN', value: (finding) => finding.seen },
  { title: 'WHY', value: (finding) => finding.why },
  { title: 'ADVICE', value: (finding) => finding.advice },
];

function claimed(id: string, path: string, channel: ChannelInfo): Finding[] {
  const hole = channel.oldestClaimed;
  if (!hole || (hole.ageMs ?? 0) < OLD_MS) return [];
  const seen = `position ${hole.position} of "${channel.name}" was claimed ${age(hole.ageMs)} ago by`;
  const why = 'nothing behind it is delivered before it is published';
  if (hole.ownerPid === null) {
    const advice = `end the foreign program that wrote to it, then tailrace unblock --force ${path}`;
    return [{ id, verdict: 'fail', seen: `${seen} nobody known`, why, advice }];
  }
  const advice = `continue or end process ${hole.ownerPid}; what it leaves is then repaired by itself`;
  return [{ id, verdict: 'warn', seen: `${seen} process ${hole.ownerPid}`, why, advice }];
}

function stale(id: string, path: string, stats: RegionStats): Finding[] {
  const dead = stats.participants.filter(({ isAlive }) => !isAlive);
  if (dead.length === 0) return [];
  const who = dead.map(({ pid, label }) => `${pid}${label ? ` (${label})` : ''}`).join(', ');
  const why = 'others free their entries when they next wait on the channel; until then the places are taken';
  const advice = `nothing, or now: tailrace unblock ${path}`;
  return [{ id, verdict: 'warn', seen: `${dead.length} dead participants: ${who}`, why, advice }];
}

async function region(path: string): Promise<Finding[]> {
  const id = `region ${basename(path)}`;
  try {
    using opened = openToLook(path);
    const stats = opened.stats();
    const findings = [
      ...stale(id, path, stats),
      ...stats.channels.flatMap((channel) => claimed(id, path, channel)),
      ...stats.channels.flatMap((channel): Finding[] => {
        if (channel.isValid) return [];
        const advice = 'make the region anew; what writes to its file besides tailrace must stop';
        const why = 'its bytes contradict each other, and it cannot be opened';
        return [{ id, verdict: 'fail', seen: `the entry of "${channel.name}" is wrong`, why, advice }];
      }),
    ];
    const live = stats.participants.filter(({ isAlive }) => isAlive).length;
    if (findings.length === 0) findings.push(ok(id, `${stats.channels.length} channels, ${live} live handles`));
    return [...findings, ...(await recordingChecks(path, stats))];
  } catch (error) {
    if (!(error instanceof TailraceError)) throw error;
    const verdict = error.code === 'ERR_PERMISSION' ? 'warn' : 'fail';
    return [{ id, verdict, seen: error.message, why: 'it cannot be opened', advice: 'see the message' }];
  }
}

/** Files of regions whose maker died before they had a name. */
function unfinished(folder: string): Finding[] {
  return readdirSync(folder).flatMap((name): Finding[] => {
    const pid = /^\..+\.(\d+)\.tmp$/.exec(name)?.[1];
    if (!pid || existsSync(`/proc/${pid}`)) return [];
    const why = 'the process that was making a region died over it';
    const advice = 'nothing: the next region made under this name removes it';
    return [{ id: `unfinished ${name}`, verdict: 'warn', seen: join(folder, name), why, advice }];
  });
}

/** Where the logs of the recorded channels of these regions are. */
function logsOf(paths: string[]): string[] {
  return paths.flatMap((path) => {
    try {
      using opened = openToLook(path);
      return opened.channels().flatMap((channel) => logOf(path, channel) ?? []);
    } catch {
      // The check of the region says why.
      return [];
    }
  });
}

async function findings(name: string, folder: string | undefined): Promise<Finding[]> {
  const machine = machineChecks();
  if (machine.some(({ id, verdict }) => id === 'addon' && verdict === 'fail')) return machine;
  const paths = isFolder(name) ? regionsIn(name) : [pathOf(name)];
  const found = [...machine, ...diskChecks(folder === undefined ? logsOf(paths) : [folder])];
  for (const path of paths) found.push(...(await region(path)));
  return isFolder(name) ? [...found, ...unfinished(name)] : found;
}

function explain(paper: Paper, finding: Finding): void {
  const verdict = paper.paint(finding.verdict.padEnd(4), VERDICTS[finding.verdict]);
  paper.line(`${verdict}  ${printable(finding.id)}: ${printable(finding.seen)}`);
  if (finding.why) paper.line(`      why: ${printable(finding.why)}`);
  if (finding.advice) paper.line(`      do:  ${printable(finding.advice)}`);
}

/** Prints every check; false when one of them failed. `folder` is on the disk that is measured. */
export async function doctor(
  paper: Paper,
  name: string = existsSync(SHARED_MEMORY) ? SHARED_MEMORY : dirname('.'),
  folder?: string,
): Promise<boolean> {
  const found = await findings(name, folder);
  if (paper.isTerminal) for (const finding of found) explain(paper, finding);
  else paper.table(FINDINGS, found);
  return found.every(({ verdict }) => verdict !== 'fail');
}

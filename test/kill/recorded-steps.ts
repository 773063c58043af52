/**
 * Recorded steps: every step of recorders and of members of groups at which a process can be stopped.
 *
 * Not here, because no driver comes there on purpose: `recorder.unbound` (an operator's rebase), `group.lost` (two claims
 * at once), `group.released_part` and `group.cut` (parts of claims). The kills in the core's own tests play those.
 */

/** What is brought to a step. */
export interface RecordedJob {
  step: string;
  role: 'recorder' | 'member';
  /** Somebody was there before: a recorder that has recorded and gone, or a member that died over its claim. */
  hasPredecessor: boolean;
  /** It is over when it is stopped there: somebody else may have its role. */
  isOver?: boolean;
}

const recorder = (step: string, hasPredecessor: boolean): RecordedJob => ({
  step: `recorder.${step}`,
  role: 'recorder',
  hasPredecessor,
});
const member = (step: string, hasPredecessor: boolean): RecordedJob => ({
  step: `group.${step}`,
  role: 'member',
  hasPredecessor,
});

const starting = ['role', 'opened', 'base', 'log_id', 'linked', 'bound'];
const startingAgain = ['role', 'opened'];
const working = ['copy', 'copied', 'appended', 'published', 'durable'];
const joining = ['filled', 'beginning'];
const taking = ['trying', 'claimed', 'taking', 'released'];
const counting = ['counting', 'next_seen', 'intent_seen', 'raising'];
const inheriting = [
  'locked',
  'deaths_seen',
  'bounds_seen',
  'intent_read',
  'decided',
  'inherited',
  'takeover_counted',
  'cleared',
  'freed',
];

/** Every step, and some of them twice. */
export const RECORDED_JOBS: RecordedJob[] = [
  ...starting.map((step) => recorder(step, false)),
  ...startingAgain.map((step) => recorder(step, true)),
  ...working.flatMap((step) => [recorder(step, false), recorder(step, true)]),
  { ...recorder('closed', true), isOver: true },
  ...[...joining, ...taking, ...counting].map((step) => member(step, false)),
  ...inheriting.map((step) => member(step, true)),
];

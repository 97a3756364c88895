/**
 * Simulation only: known bugs that can be planted into the core, one at a time, to prove that the tests would notice them.
 *
 * The second argument of `Raft` takes a set of these; production gives none. The package's index does not export this file.
 */
export const PLANTED_FAULTS = [
  /** The leader commits whatever a majority holds, whichever term it is of (Ongaro §3.6.2, figure 3.7). */
  'commit-old-term-by-counting',
  /** The vote is forgotten in a crash: the hard state handed out names no vote. */
  'vote-not-persisted',
  /** Messages that reveal a new term or vote do not wait for the hard state. */
  'vote-persisted-after-reply',
  /** "Up to date" compares the last index only. */
  'no-last-term-comparison',
  /** A second vote in one term. */
  'votes-twice',
  /** A follower commits up to its own last entry, compared with the leader's or not. */
  'follower-commits-unverified',
  /** One acknowledgement fewer than a majority commits. */
  'off-by-one-quorum',
  /** An append that ends before the log does cuts the log there. */
  'truncate-on-late-duplicate',
  /** Appends of a deposed leader are taken. */
  'old-term-append-accepted',
  /** A leader that sees a higher term goes on. */
  'no-step-down-on-higher-term',
  /** Followers acknowledge, and the leader counts itself for, what is written and not yet durable. */
  'ack-before-durable',
  /** Answers of an earlier term count in the present one. */
  'stale-response-counted',
  /** The leader is ready as soon as it is elected. */
  'noop-omitted',
  /** A completed write vouches for its last index, though that was truncated and written anew meanwhile. */
  'persist-matched-by-index-only',
  /** A read is answered with the present commit index, whoever leads by now. */
  'read-without-round',
  /** A wiped disk votes and acknowledges under its old name. */
  'identity-ignored',
  /** A leader whose storage hangs goes on leading. */
  'hung-leader-keeps-heartbeating',
  /** A preferred leader gets the leadership as soon as it looks fit, and again at every heartbeat. */
  'preferred-without-hysteresis',
  /** A member with lost entries stands for election as if it had them. */
  'tainted-member-leads',
  /** Learners count like voters. */
  'learner-counted',
  /** A second change of the configuration is taken while the first is not committed (Ongaro §4.1). */
  'second-change-before-commit',
  /** A leader changes the configuration before an entry of its term is committed (the erratum of 2015). */
  'change-before-own-term',
  /** A truncation leaves the configuration in force that it cut. */
  'rolled-back-configuration-kept',
  /** A leader that removed itself counts itself. */
  'removed-leader-counts-itself',
  /** A new store under an old name inherits what the old one had acknowledged. */
  'replacement-keeps-match',
  /** A recovering member's acknowledgements count for commit. */
  'recovering-counted',
  /** A recovering member's vote counts like any other. */
  'recovering-votes',
  /** Whoever believes to lead tells a recovering member what it has to hold, in whatever term. */
  'recovering-by-old-leader',
  /** An answer to a recovering member's question counts in a later life too. */
  'recover-answer-without-nonce',
  /** What a member acknowledged before it lost its tail goes on counting. */
  'match-kept-across-recovery',
] as const
export type PlantedFault = (typeof PLANTED_FAULTS)[number]

export const NO_FAULTS: ReadonlySet<PlantedFault> = new Set()

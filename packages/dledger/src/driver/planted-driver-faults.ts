import type { PlantedLogFault } from '../log/segmented-log.ts'

/** Faults of the driver that the simulator plants, one at a time, to show that it would find them. Never set in production. */
export type PlantedDriverFault =
  /** Votes and other messages leave before the term and vote behind them are durable. */
  | 'reply-before-hard-state'
  /** What is only written counts as durable although SYNC_FLUSH promises a sync. */
  | 'durable-before-sync'
  /** A failed sync is taken for a good one. */
  | 'sync-error-ignored'
  /** A proposal is acknowledged when it is in the leader's log, not when it is committed. */
  | 'acknowledged-before-commit'
  | PlantedLogFault
  /** The head of the log goes though the state machine has not applied it, or not in its checkpoint. */
  | 'trim-ignores-applied'
  /** What is read after an unclean stop counts as synced when the next sync says yes. */
  | 'page-cache-trusted-after-failed-sync'
  /** A follower acknowledges entries that are only received for its next log, while its own log is the old one. */
  | 'install-acknowledged-before-switch'
  /** The checksum of a piece of state is not looked at. */
  | 'piece-crc-ignored'
  /** What a start finds of a received state is taken for what was received. */
  | 'staged-state-unchecked'
  /** A read that hangs is not noticed. */
  | 'hung-read-unseen'
  /** An old image of a disk is taken for its store's next life. */
  | 'old-image-accepted'
  /** The copies of the records of the hard state are not looked at. */
  | 'hard-state-copy-unread'
  /** What found no room on the disk counts as written. */
  | 'full-disk-acknowledged'
  /** A lease is used without a look at the clock. */
  | 'lease-survives-pause'
  /** What a lease was given for is counted by the monotonic clock alone. */
  | 'lease-ignores-suspension'
  /** A leader that asked another one to take over goes on reading under its lease. */
  | 'lease-survives-hand-over'
  /** What a truncation took away stays among the hot entries. */
  | 'hot-tail-not-truncated'

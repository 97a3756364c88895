/**
 * What one simulation does: plain data, so that fast-check can make it, shrink it and print it, and a person can replay it.
 *
 * The items are independent of each other: any of them can be left out and the rest still means the same.
 */

/** `kill`: the process dies, the page cache lives. `power`: the machine goes off, and what was not synced may be gone. */
export type Death = 'kill' | 'power'

export type Fault =
  | {
      readonly kind: 'crash'
      readonly atMs: number
      readonly member: number
      readonly death: Death
      readonly downMs: number
    }
  /** Dies between two effects: after so many more writes, syncs and sends from `atMs` on. */
  | {
      readonly kind: 'crashAtEffect'
      readonly atMs: number
      readonly member: number
      readonly effects: number
      readonly death: Death
      readonly downMs: number
    }
  | { readonly kind: 'crashAll'; readonly atMs: number; readonly death: Death; readonly downMs: number }
  /** The member that leads at that time. */
  | { readonly kind: 'crashLeader'; readonly atMs: number; readonly death: Death; readonly downMs: number }
  /** Closed cleanly, started again. */
  | { readonly kind: 'stop'; readonly atMs: number; readonly member: number; readonly downMs: number }
  /** Its disk is replaced by an empty one. Only while a majority keeps its disks, and once identities are bound. */
  /** Its disk goes back to what it was at a former start: the newest one, or an older one. Within the promise only. */
  | {
      readonly kind: 'restore'
      readonly atMs: number
      readonly member: number
      readonly back: number
      readonly downMs: number
    }
  /** The leader is asked for a change; a spare that is to be added is started. */
  | {
      readonly kind: 'change'
      readonly atMs: number
      readonly member: number
      readonly wish: 'voter' | 'learner' | 'removed'
    }
  | { readonly kind: 'wipe'; readonly atMs: number; readonly member: number; readonly downMs: number }
  /**
   * Bytes of an entry, of its unit in the index, or of a record of the hard state are read as others from then on. `seed` keys what
   * exactly.
   */
  | {
      readonly kind: 'rot'
      readonly atMs: number
      readonly member: number
      readonly target: 'data' | 'index' | 'hardState'
      /**
       * `stale`: a sector holds what it held before it was last written, though a sync said yes. `staleOnce`: it is read so but once, and may
       * be any that is synced.
       */
      readonly how: 'flip' | 'lostWrite' | 'misdirected' | 'stale' | 'staleOnce'
      /** Which of the entries that may be, per mille. */
      readonly place: number
      readonly seed: number
    }
  /**
   * The so-many-th read from then on fails, or each that touches the sector of some entry, until the given time is over. A start that meets
   * it is tried again `downMs` later; with `atStart` the process is killed first.
   */
  | {
      readonly kind: 'readError'
      readonly atMs: number
      readonly member: number
      readonly how: 'once' | 'sector'
      readonly atStart: boolean
      readonly operations: number
      readonly place: number
      readonly forMs: number
      readonly downMs: number
    }
  /** The machine goes off, and behind the end of a file of the log there are bytes that nobody wrote when it comes back. */
  | {
      readonly kind: 'litter'
      readonly atMs: number
      readonly member: number
      readonly target: 'data' | 'index'
      readonly downMs: number
      readonly seed: number
    }
  /** Killed, and a file is gone, or has lost its end, when it comes back. */
  | {
      readonly kind: 'loseFile'
      readonly atMs: number
      readonly member: number
      readonly target: 'data' | 'index'
      readonly how: 'missing' | 'short'
      readonly place: number
      readonly downMs: number
    }
  /** No input is taken while its clock runs on. */
  | { readonly kind: 'pause'; readonly atMs: number; readonly member: number; readonly forMs: number }
  | { readonly kind: 'pauseLeader'; readonly atMs: number; readonly forMs: number }
  /** The machine of a member, or of the leader for -1, is suspended: its monotonic clock stands still, its wall clock does not. */
  | { readonly kind: 'suspend'; readonly atMs: number; readonly member: number; readonly forMs: number }
  /**
   * The leader is cut off and stands still, its machine too where so said, long enough for another to be elected. When it goes on
   * it is read from before anybody reaches it.
   */
  | { readonly kind: 'strandLeader'; readonly atMs: number; readonly suspended: boolean; readonly forMs: number }
  | {
      readonly kind: 'isolate'
      readonly atMs: number
      readonly member: number
      readonly direction: 'both' | 'in' | 'out'
      readonly forMs: number
    }
  | {
      readonly kind: 'isolateLeader'
      readonly atMs: number
      readonly direction: 'both' | 'in' | 'out'
      readonly forMs: number
    }
  /** Members whose bit is set, and the rest, do not hear each other. */
  | {
      readonly kind: 'split'
      readonly atMs: number
      readonly side: number
      /** `bridge`: but for one member, which hears both sides; `ring`: each hears its two neighbours alone. Left out: halves. */
      readonly shape?: 'halves' | 'bridge' | 'ring'
      readonly forMs: number
    }
  | {
      readonly kind: 'cutLink'
      readonly atMs: number
      readonly from: number
      readonly to: number
      readonly forMs: number
    }
  /** One direction takes its time for every byte. */
  | {
      readonly kind: 'narrowLink'
      readonly atMs: number
      readonly from: number
      readonly to: number
      readonly bytesPerMs: number
      readonly forMs: number
    }
  | {
      readonly kind: 'weather'
      readonly atMs: number
      readonly lossPerMille: number
      readonly duplicatePerMille: number
      readonly latePerMille: number
      readonly delayMs: number
      readonly forMs: number
    }
  | { readonly kind: 'reset'; readonly atMs: number; readonly from: number; readonly to: number }
  | {
      readonly kind: 'slowDisk'
      readonly atMs: number
      readonly member: number
      readonly factor: number
      readonly forMs: number
    }
  | { readonly kind: 'slowLeader'; readonly atMs: number; readonly factor: number; readonly forMs: number }
  /** Writes and syncs do not end for so long: for ever, as far as the member can see, where that is longer than the faults last. */
  | { readonly kind: 'hangDisk'; readonly atMs: number; readonly member: number; readonly forMs: number }
  | { readonly kind: 'hangLeader'; readonly atMs: number; readonly forMs: number }
  /** Nothing new finds room on the disk; what is written over what was there does. */
  | { readonly kind: 'fullDisk'; readonly atMs: number; readonly member: number; readonly forMs: number }
  | { readonly kind: 'fullLeader'; readonly atMs: number; readonly forMs: number }
  /** The so-many-th operation from then on fails; the process or the machine is started anew `downMs` later. */
  | {
      readonly kind: 'diskError'
      readonly atMs: number
      readonly member: number
      readonly error: 'write' | 'sync' | 'full'
      readonly operations: number
      readonly downMs: number
    }
  | { readonly kind: 'transfer'; readonly atMs: number; readonly to: number }
  /** The leader lets everybody forget what is so far below its commit index. */
  | { readonly kind: 'trim'; readonly atMs: number; readonly keep: number }
  | { readonly kind: 'clockJump'; readonly atMs: number; readonly member: number; readonly byMs: number }

/** `count` proposals at once; to that member, or, where it is -1, to all that believe to lead. */
export interface ClientRequest {
  readonly atMs: number
  readonly to: number
  readonly count: number
  readonly bytes: number
}

/** One operation on a register; to that member, or, where it is -1, one to each that believes to lead. */
export interface RegisterRequest {
  readonly atMs: number
  readonly to: number
  readonly kind: 'read' | 'write' | 'cas'
  readonly key: number
  readonly bytes: number
}

/**
 * What is asked of the group: everything, for damage within the budget; `beyond`: only that damage is detected. `mixed`: everything,
 * while members come, go and lose their disks in the same schedules.
 * `short`: everything, in less time; such a schedule names no profile.
 */
export type Profile = 'within' | 'short' | 'mixed' | 'beyond'

/** Asks one member, or all for -1, up to where to read. */
export interface ClientRead {
  readonly atMs: number
  readonly to: number
  readonly consistency: 'linearizable' | 'lease' | 'bounded'
  /** Of bounded reads. */
  readonly maxStalenessMs: number
}

export interface Schedule {
  readonly seed: number
  readonly members: 3 | 5
  readonly profile?: Profile
  readonly flush: 'SYNC_FLUSH' | 'ASYNC_FLUSH'
  readonly network: 'streams' | 'datagrams'
  /** Length of the part with faults. */
  readonly faultyMs: number
  readonly faults: readonly Fault[]
  readonly requests: readonly ClientRequest[]
  /** None in schedules from before there were registers. */
  readonly operations?: readonly RegisterRequest[]
  readonly reads?: readonly ClientRead[]
  /** One more client proposes something small to all that believe to lead, so often; none where it is missing. */
  readonly steadyMs?: number
}

/**
 * The state machine of a simulated member: a hash over all that is applied, in order, so that equal states are seen to be equal.
 * It keeps checkpoints as an embedder would, and hands its state over in pieces.
 *
 *   a state:  | index (8) | hash (4) | filler that follows from both … |
 *
 * Keeps: its checkpoint, which survives every death, is at most what is applied and synced (docs/invariants.md, sim 11).
 */
import { crc32 } from '@dledger-ts/base'
import type {
  CommittedEntry,
  RoleState,
  StateMachine,
  StateRestore,
  StateSnapshot,
} from '@dledger-ts/dledger/internals'

const HEAD_BYTES = 12
const FILLER_BYTES_MAX = 1_500

/** What is left of a state machine when its process dies. */
export interface Checkpoint {
  appliedIndex: number
  hash: number
}

/** The state after each index, as whoever applied it first found it. */
export class KnownStates {
  readonly #hashes = new Map<number, number>()

  /** @returns whether nobody found another one. */
  agrees(index: number, hash: number): boolean {
    const known = this.#hashes.get(index)
    if (known === undefined) this.#hashes.set(index, hash)
    return known === undefined || known === hash
  }

  /** What was committed from `index` on is lost, as it may be. */
  forgetFrom(index: number): void {
    for (const known of this.#hashes.keys()) if (known >= index) this.#hashes.delete(known)
  }

  at(index: number): number {
    return this.#hashes.get(index) ?? 0
  }
}

export interface StateMachineOptions {
  readonly checkpoint: Checkpoint
  readonly known: KnownStates
  /** Without checkpoints everything is applied again after each start. */
  readonly keepsCheckpoints: boolean
  readonly later: (callback: () => void) => void
  readonly applied: (entry: CommittedEntry) => void
  readonly restored: (index: number) => void
  readonly roleChanged: (state: RoleState) => void
  readonly violated: (what: string) => void
}

export class SimStateMachine implements StateMachine {
  readonly #options: StateMachineOptions
  #appliedIndex: number
  #hash: number
  #durableIndex = -1

  constructor(options: StateMachineOptions) {
    this.#options = options
    this.#appliedIndex = options.checkpoint.appliedIndex
    this.#hash = options.checkpoint.hash
  }

  get appliedIndex(): number {
    return this.#appliedIndex
  }

  get checkpointIndex(): number {
    return this.#options.checkpoint.appliedIndex
  }

  discard(): void {
    this.#options.violated('a checkpoint was ahead of the log (11)')
    this.#appliedIndex = -1
    this.#hash = 0
    this.#options.checkpoint.appliedIndex = -1
  }

  apply(entries: readonly CommittedEntry[]): void {
    for (const entry of entries) {
      if (entry.index !== this.#appliedIndex + 1) {
        this.#options.violated(`entry ${entry.index} was applied after ${this.#appliedIndex} (5)`)
      }
      this.#appliedIndex = entry.index
      this.#hash = crc32(entry.body, 0, entry.body.length, (this.#hash ^ entry.term) >>> 0)
      this.#agree()
      this.#options.applied(entry)
    }
    this.#checkpoint()
  }

  roleChanged(state: RoleState): void {
    this.#options.roleChanged(state)
  }

  durable(index: number): void {
    this.#durableIndex = index
    this.#checkpoint()
  }

  openSnapshot(callback: (error: Error | null, snapshot: StateSnapshot | null) => void): void {
    const { appliedIndex: index, hash } = this.#options.checkpoint
    const bytes = encodeState(index, hash)
    const { later } = this.#options
    const snapshot: StateSnapshot = {
      index,
      bytes: index % 2 === 0 ? bytes.length : null,
      id: index % 3 === 0 ? null : `${index}`,
      read: (at, bytesMax, give) => later(() => give(null, bytes.subarray(at, at + bytesMax))),
      close: () => {},
    }
    later(() => callback(null, index < 0 ? null : snapshot))
  }

  restore(index: number): StateRestore {
    const { later, violated, checkpoint } = this.#options
    const pieces: Buffer[] = []
    if (index < this.#appliedIndex)
      violated(`a state at ${index} is restored where ${this.#appliedIndex} is applied (10)`)
    return {
      write: (bytes, callback) => {
        pieces.push(Buffer.from(bytes))
        later(() => callback(null))
      },
      commit: (callback) =>
        later(() => {
          const state = Buffer.concat(pieces)
          const hash = state.length < HEAD_BYTES ? 0 : state.readUInt32BE(8)
          if (!state.equals(encodeState(index, hash))) violated(`the state received for ${index} is damaged (26)`)
          this.#appliedIndex = index
          this.#hash = hash
          this.#agree()
          this.#options.restored(index)
          checkpoint.appliedIndex = index
          checkpoint.hash = hash
          callback(null)
        }),
      abort: () => {},
    }
  }

  #agree(): void {
    const { known, violated } = this.#options
    if (!known.agrees(this.#appliedIndex, this.#hash))
      violated(`the state after ${this.#appliedIndex} is another one (26)`)
  }

  #checkpoint(): void {
    const { keepsCheckpoints, checkpoint, known } = this.#options
    const index = Math.min(this.#appliedIndex, this.#durableIndex)
    if (!keepsCheckpoints || index <= checkpoint.appliedIndex) return
    checkpoint.appliedIndex = index
    checkpoint.hash = known.at(index)
  }
}

function encodeState(index: number, hash: number): Buffer {
  const state = Buffer.alloc(HEAD_BYTES + (hash % FILLER_BYTES_MAX), hash & 0xff)
  state.writeBigInt64BE(BigInt(index), 0)
  state.writeUInt32BE(hash, 8)
  return state
}

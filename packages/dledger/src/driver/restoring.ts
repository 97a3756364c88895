/**
 * Takes a received state in: after a switch, or at the next start when a crash came in between.
 *
 * Keeps: nothing is applied before it is in; the file stays until the state machine has it for good. What the state machine throws
 * stops the member, and nothing else.
 */
import { assert } from '@dledger-ts/base'
import type { Disk, DiskFile } from '../disk/disk.ts'
import type { IncomingSnapshot } from '../hard-state/hard-state-codec.ts'
import type { StateMachine, StateRestore } from '../state-machine.ts'
import type { OpenedMember } from './open-member.ts'
import { discardIncoming, statePath } from './staging.ts'

const PIECE_BYTES = 1024 * 1024

export interface RestoringOptions {
  readonly disk: Disk
  readonly directory: string
  readonly member: OpenedMember
  readonly stateMachine: StateMachine
  readonly snapshot: IncomingSnapshot
  readonly whileRunning: (work: () => void) => void
  /** The state machine has it for good. */
  readonly onRestored: (index: number) => void
  readonly onFailed: (error: Error) => void
}

export class Restoring {
  readonly #options: RestoringOptions
  readonly #file: DiskFile
  readonly #restore: StateRestore
  #at = 0
  #isOver = false
  #isReading = false

  constructor(options: RestoringOptions) {
    const { stateMachine, snapshot } = options
    this.#options = options
    assert(stateMachine.restore !== undefined, 'a state is received for a state machine that takes it')
    this.#file = options.disk.openSync(statePath(options.directory), { create: false })
    try {
      this.#restore = stateMachine.restore(snapshot.index)
    } catch (error) {
      this.#file.closeSync()
      throw error
    }
  }

  start(): void {
    this.#next()
  }

  /** The member stops: the next start begins again. Idempotent. */
  abort(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#restore.abort()
    if (!this.#isReading) this.#file.closeSync()
  }

  #next(): void {
    const { snapshot } = this.#options
    const left = snapshot.bytes - this.#at
    if (left === 0) return this.#commit()
    const piece = Buffer.allocUnsafe(Math.min(left, PIECE_BYTES))
    this.#isReading = true
    this.#file.read(piece, this.#at, (error, count) => {
      this.#isReading = false
      if (this.#isOver) return this.#file.closeSync()
      if (error !== null || count < piece.length) {
        return this.#fail(error ?? new Error(`${this.#file.path} is shorter than what was received`))
      }
      this.#at += piece.length
      this.#options.whileRunning(() => this.#write(piece))
    })
  }

  #write(piece: Buffer): void {
    this.#restore.write(piece, (failure) => {
      if (this.#isOver) return
      if (failure !== null) this.#fail(failure)
      else this.#options.whileRunning(() => this.#next())
    })
  }

  #commit(): void {
    this.#restore.commit((error) => {
      if (this.#isOver) return
      if (error !== null) return this.#fail(error)
      this.#isOver = true
      this.#file.closeSync()
      const { whileRunning, onRestored, snapshot, member, disk, directory, onFailed } = this.#options
      whileRunning(() => {
        onRestored(snapshot.index)
        member.writeHardState({ incoming: null }, (failure) => {
          if (failure !== null) return onFailed(failure)
          whileRunning(() => discardIncoming(disk, directory, { log: true, state: true }))
        })
      })
    })
  }

  #fail(error: Error): void {
    this.abort()
    this.#options.onFailed(error)
  }
}

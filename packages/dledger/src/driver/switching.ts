/**
 * Another member's log takes the place of this one's, and its state that of the state machine.
 *
 *   received whole ──► nothing under way ──► SWITCHING durable ──► files moved ──► all of it built anew ──► state taken in
 *
 * Where entries that were lost here have been trimmed everywhere, only the state comes: the own log stays, and starts later.
 *
 * Keeps:
 *   - from when a received log is whole until it is in place, this member hears nothing, says nothing and reads nothing: what
 *     arrives meanwhile is as if it had been lost.
 *   - no write, no read and no trim of the old files is under way when they go.
 *   - the way back is open until SWITCHING is durable: should the own log have caught up by then, it stays.
 *   - an own log that stays ends as this member knows it: with entries that are still to be truncated it would take these for
 *     committed.
 */
import type { Disk } from '../disk/disk.ts'
import type { HardState, Incoming } from '../hard-state/hard-state-codec.ts'
import type { Applying } from './applying.ts'
import type { Durability } from './durability.ts'
import type { InstallReceiver } from './install-receiver.ts'
import type { Life } from './life.ts'
import type { LogNodeOptions } from './node-options.ts'
import type { OpenedMember } from './open-member.ts'
import type { StateMachine } from '../state-machine.ts'
import { Restoring } from './restoring.ts'
import { moveIn } from './staging.ts'
import type { StartingPoint } from './starting.ts'

export interface SwitchingOptions {
  readonly node: LogNodeOptions
  readonly disk: Disk
  readonly member: OpenedMember
  readonly life: Life
  /** Of the log in force. */
  readonly rooms: () => {
    readonly applying: Applying
    readonly installReceiver: InstallReceiver
    readonly durability: Durability
  }
  readonly term: () => number
  /** False once the member closes: the next start goes on with what was received. */
  readonly mayBegin: () => boolean
  /**
   * No write, no read, no trim and no change of the hard state that others wait for is under way. A truncation that waits for a
   * repair is not: what was lost may be nowhere but in what comes.
   */
  readonly isStill: () => boolean
  /** The own log ends with entries that are to go, once what is lost before them is repaired. */
  readonly waitsForRepair: () => boolean
  /** The old log is about to be closed: nothing uses it from here on. */
  readonly onLeaving: () => void
  /** The new log is open: all that rests on a log is built anew. */
  readonly onReplaced: (point: StartingPoint) => void
  readonly onFailed: (error: Error) => void
  readonly schedulePass: () => void
}

export class Switching {
  readonly #options: SwitchingOptions
  #isUnderWay = false
  #restoring: Restoring | null = null

  constructor(options: SwitchingOptions) {
    this.#options = options
  }

  get isUnderWay(): boolean {
    return this.#isUnderWay
  }

  /** A received log is whole: it takes the place of the own one as soon as nothing is under way on that. */
  begin(incoming: Incoming): void {
    const { member, rooms, mayBegin, waitsForRepair, onFailed } = this.#options
    this.#isUnderWay = true
    this.#whenStill(() => {
      if (!mayBegin()) {
        this.#isUnderWay = false
        return
      }
      const { installReceiver } = rooms()
      // Nobody is heard while it waits, so no repair either.
      const mustWait = incoming.stateOnly === true && waitsForRepair()
      if (mustWait || !installReceiver.isStillBetter(incoming)) {
        this.#isUnderWay = false
        installReceiver.abandoned()
        return
      }
      if (incoming.stateOnly === true) return this.#startLater(incoming)
      member.writeHardState({ incoming: { ...incoming, phase: 'SWITCHING' } }, (error) => {
        if (error !== null) return onFailed(error)
        this.#whenStill(() => this.#replaceFiles({ ...incoming, phase: 'SWITCHING' }))
      })
    })
  }

  /** Takes the received state in, if one waits for that: after a switch, and at a start. */
  restore(): void {
    const { node, disk, member, life, rooms, onFailed } = this.#options
    const { stateMachine, directory } = node
    const { applying } = rooms()
    const { incoming } = member.hardState
    if (incoming?.phase !== 'RESTORING' || incoming.snapshot === null) return
    if (stateMachine === null || hasState(stateMachine, applying.appliedIndex, incoming)) {
      // Taken in already: a crash came before that was remembered. Or the own one goes as far.
      if (applying.isRestoring) applying.restored(applying.appliedIndex)
      member.writeHardState({ incoming: null }, (error) => {
        if (error !== null) onFailed(error)
      })
      return
    }
    this.#restoring = new Restoring({
      disk,
      directory,
      member,
      stateMachine,
      snapshot: incoming.snapshot,
      isUnchecked: node.plantedDriverFaults?.has('staged-state-unchecked') ?? false,
      whileRunning: (work) => life.whileRunning(work),
      onRestored: (index) => {
        this.#restoring = null
        applying.restored(index)
      },
      onFailed,
    })
    this.#restoring.start()
  }

  /** The member stops. Idempotent. */
  stop(): void {
    this.#restoring?.abort()
  }

  /** Calls back, within a guard. */
  #whenStill(callback: () => void): void {
    const { node, life, isStill } = this.#options
    if (!life.isRunning) return
    if (isStill()) life.guarded(callback)
    else node.clock.after(1, () => this.#whenStill(callback))
  }

  #replaceFiles(incoming: Incoming): void {
    const { node, disk, member, onLeaving } = this.#options
    const { directory, settings } = node
    const leave = (): Partial<HardState> => {
      onLeaving()
      member.closeLog()
      return moveIn(disk, directory, { settings, incoming })
    }
    // All of a received log is committed.
    this.#openAnew(leave, { over: incoming.hint?.index ?? -1, commitIndex: Number.POSITIVE_INFINITY })
  }

  /** What is lost below the new start was committed and is in the state that comes; a crash before this is durable forgets nothing. */
  #startLater({ beforeFirst, baseConfiguration, ...incoming }: Incoming): void {
    const { member, rooms, onLeaving } = this.#options
    const commitIndex = rooms().installReceiver.committedIndex()
    const leave = (): Partial<HardState> => {
      onLeaving()
      member.closeLog()
      const arriving: Incoming = { ...incoming, beforeFirst, baseConfiguration, phase: 'RESTORING' }
      return { beforeFirst, baseConfiguration, incoming: incoming.snapshot === null ? null : arriving }
    }
    this.#openAnew(leave, { over: commitIndex, commitIndex })
  }

  /** @param over up to where the leader finds its log here. @param commitIndex up to where what is there then is committed. */
  #openAnew(leave: () => Partial<HardState>, at: { readonly over: number; readonly commitIndex: number }): void {
    const { member, life, rooms, onFailed, schedulePass } = this.#options
    const { applying, installReceiver } = rooms()
    const { appliedIndex } = applying
    const over = installReceiver.overAck(at.over)
    const goOn = (error: Error | null): void => {
      if (error !== null) return onFailed(error)
      if (!life.isRunning) return
      // The core put it out meanwhile; the next core takes what the hard state says for durable.
      if (rooms().durability.writesTermOrVote) return member.writeHardState({}, goOn)
      life.guarded(() => {
        this.#goOn(appliedIndex, at.commitIndex)
        if (over !== null) this.#tellOver(over)
      })
      schedulePass()
    }
    member.writeHardState(leave(), goOn)
  }

  #goOn(appliedIndex: number, commitIndex: number): void {
    const { node, member, onReplaced } = this.#options
    const { logger, stateMachine } = node
    member.reopenLog()
    const { firstIndex, lastIndex } = member.log
    logger.info({ firstIndex, lastIndex }, 'the log starts anew with what came from another member')
    onReplaced({
      appliedIndex: Math.max(appliedIndex, stateMachine === null ? firstIndex - 1 : -1),
      commitIndex: Math.min(commitIndex, lastIndex),
    })
    this.#isUnderWay = false
    this.#options.rooms().applying.synced(lastIndex)
    stateMachine?.roleChanged({ role: 'FOLLOWER', term: this.#options.term(), leader: null, ready: false })
    this.restore()
  }

  #tellOver({ to, id, index }: NonNullable<ReturnType<InstallReceiver['overAck']>>): void {
    const { node, member } = this.#options
    const { transport, self } = node
    const { storeId, term } = member.hardState
    transport.send(
      { type: 'InstallAck', from: self, to, storeId, term, id, nextIndex: 0, stateAt: -1, isOver: true, index },
      null,
    )
  }
}

/** What is applied only from memory, by entries that the log in force does not have, is not there: the state brings it. */
function hasState(
  { checkpointIndex }: StateMachine,
  appliedIndex: number,
  { snapshot, beforeFirst }: Incoming,
): boolean {
  const index = snapshot?.index ?? -1
  if (appliedIndex !== index) return appliedIndex > index
  return (checkpointIndex ?? appliedIndex) >= beforeFirst.index
}

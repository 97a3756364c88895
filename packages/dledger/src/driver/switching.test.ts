/** When a core starts over a log that came from another member. */
import { silentLogger, systemClock } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import { DEFAULT_SETTINGS } from '../config.ts'
import { MemoryDisk } from '../disk/memory-disk.ts'
import type { HardState, Incoming } from '../hard-state/hard-state-codec.ts'
import type { Message } from '../raft/messages.ts'
import { Switching, type SwitchingOptions } from './switching.ts'

const incoming: Incoming = {
  phase: 'STAGING',
  stateOnly: true,
  beforeFirst: { index: 9, term: 1, endPos: 640, chain: 7 },
  baseConfiguration: null,
  hint: null,
  configurationIndexes: [],
  snapshot: null,
}

test('a core starts over a replaced log when the term and the vote that were put out meanwhile are durable', () => {
  const sent: Message[] = []
  const held: (() => void)[] = []
  const started: object[] = []
  const durability = { writesTermOrVote: false }
  const member = {
    hardState: { storeId: 'store of n0', term: 1 } as HardState,
    log: { firstIndex: 10, lastIndex: 12 },
    closeLog() {},
    reopenLog() {},
    writeHardState(change: Partial<HardState>, callback: (error: Error | null) => void) {
      held.push(() => {
        this.hardState = { ...this.hardState, ...change }
        callback(null)
      })
    },
  }
  const rooms = {
    applying: { appliedIndex: 12, commitIndex: 12, isRestoring: false, synced() {} },
    installReceiver: {
      isStillBetter: () => true,
      committedIndex: () => 12,
      overAck: (index: number) => ({ to: 'n1', id: 3, index }),
    },
    durability,
  }
  const switching = new Switching({
    node: {
      clock: systemClock,
      logger: silentLogger,
      stateMachine: null,
      self: 'n0',
      directory: '/m',
      settings: DEFAULT_SETTINGS,
      transport: { send: (message: Message) => void sent.push(message) },
    },
    disk: new MemoryDisk(),
    member,
    life: { isRunning: true, guarded: (work: () => void) => work() },
    rooms: () => rooms,
    term: () => 1,
    mayBegin: () => true,
    isStill: () => true,
    waitsForRepair: () => false,
    onLeaving: () => {},
    onReplaced: (point: object) => void started.push(point),
    onFailed: (error: Error) => {
      throw error
    },
    schedulePass: () => {},
  } as unknown as SwitchingOptions)

  switching.begin(incoming)
  expect(held).toHaveLength(1)
  // A vote of a later term is heard: it is written behind what says that the log starts anew.
  durability.writesTermOrVote = true
  member.writeHardState({ term: 2, votedFor: 'n1' }, () => {
    durability.writesTermOrVote = false
  })
  held.shift()?.()
  expect(started).toEqual([])
  expect(sent).toEqual([])
  held.shift()?.()
  expect(started).toEqual([])
  held.shift()?.()
  expect(held).toEqual([])
  expect(started).toEqual([{ appliedIndex: 12, commitIndex: 12 }])
  // In the term that is durable now.
  expect(sent).toMatchObject([{ type: 'InstallAck', isOver: true, index: 12, term: 2 }])
  expect(switching.isUnderWay).toBe(false)
})

/** Entries from a leader, and what keeps them from the core. */
import { silentLogger } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import { batchAfter, openLog } from '../log/log-fixture.ts'
import { MemoryDisk } from '../disk/memory-disk.ts'
import type { AppendEntries, Message } from '../raft/messages.ts'
import type { Raft } from '../raft/raft.ts'
import { bareEnvelope } from './batch-builder.ts'
import { Receiving } from './receiving.ts'
import type { UncheckedEntries } from './unchecked-entries.ts'

test('entries for which what is kept free on the disk has no room are not taken; their new leader is heard', () => {
  const log = openLog('/n0', { disk: new MemoryDisk() })
  const batch = batchAfter(log, 1, [{ bodyBytes: 20 }])
  const stepped: Message[] = []
  const known = { term: 1, room: batch.bytes.length }
  const receiving = new Receiving({
    log,
    raft: { step: (message: Message) => void stepped.push(message) } as unknown as Raft,
    unchecked: { mayTake: () => true } as unknown as UncheckedEntries,
    fileBytes: log.fileBytes,
    controlEnvelope: bareEnvelope,
    logger: silentLogger,
    role: () => ({ role: 'FOLLOWER', term: known.term, leader: 'n1', ready: false }),
    durableTerm: () => 1,
    hasRoomFor: (bytes) => bytes <= known.room,
    drain: () => {},
  })
  const append = {
    type: 'AppendEntries',
    from: 'n1',
    to: 'n0',
    storeId: 's',
    term: 1,
    prevIndex: -1,
    prevTerm: 0,
    count: 1,
  }
  const message = { ...append, entriesTerm: 1, bytes: batch.bytes.length, commitIndex: -1 } as AppendEntries
  receiving.received(message, batch.bytes)
  expect(stepped).toEqual([message])
  known.room--
  receiving.received(message, batch.bytes)
  expect(stepped).toHaveLength(1)
  known.term = 0
  receiving.received(message, batch.bytes)
  expect(stepped[1]).toEqual({ ...message, count: 0, entriesTerm: 0, bytes: 0 })
})

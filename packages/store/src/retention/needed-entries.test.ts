/** What a store lets its log forget: nothing that no synced checkpoint has, and nothing that is still pending. */
import { silentLogger } from '@dledger-ts/base'
import type { CommittedEntry } from '@dledger-ts/dledger'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { withDelivered } from '../delivered-property.ts'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { StoreCore } from '../store-core.ts'
import { close, EntryMaker, flush, load, makeCore, message, TempDirectory } from '../testing/fixture.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { MemoryLog } from '../testing/memory-log.ts'
import { NeededEntries, type NeedsRecords } from './needed-entries.ts'

let temp: TempDirectory
let clock: ManualClock
let metadata: MemoryMetadata
let log: MemoryLog
let maker: EntryMaker
let core: StoreCore
beforeEach(async () => {
  temp = new TempDirectory()
  clock = new ManualClock()
  metadata = new MemoryMetadata(clock)
  log = new MemoryLog()
  maker = new EntryMaker()
  core = makeCore({ directory: temp.path, clock, metadata })
  await load(core)
  core.attach(log, null)
})
afterEach(async () => {
  await close(core)
  temp.remove()
})

function apply(entry: CommittedEntry): void {
  log.entries.push(entry)
  core.machine.apply([entry])
  core.machine.durable(entry.index)
}

const put = (topic = 'T', properties = ''): void => apply(maker.add(message(topic, 'x', { properties })))
const delay = (): void => put('SCHEDULE_TOPIC_XXXX', 'DELAY\x011\x02')
const deliver = (queueOffset: number): void =>
  put('T', withDelivered('', { kind: 'level', level: 1, queueOffset: queueOffset }))

async function checkpoint(): Promise<void> {
  clock.advance(1_000)
  await new Promise<void>((resolve) => core.whenIdle(resolve))
}

describe('the log may forget', () => {
  test('what a synced checkpoint has, and no more', async () => {
    put()
    await checkpoint()
    expect([core.machine.checkpointIndex, metadata.unsyncedBatches]).toEqual([-1, 1])
    put()
    await flush(core, 1)
    expect([core.machine.checkpointIndex, metadata.unsyncedBatches]).toEqual([1, 0])
    put()
    expect(core.machine.checkpointIndex).toBe(1)
  })

  test('what the next checkpoint has when a trim waits for it', async () => {
    put()
    apply({ ...maker.add(message('rmq_sys_dledger', '', { sysFlag: 0xc })), kind: 'trim' })
    await checkpoint()
    expect([core.machine.checkpointIndex, metadata.unsyncedBatches]).toEqual([1, 0])
  })

  test('what a checkpoint of the last minute has, without being asked', async () => {
    for (let i = 0; i < 90; i++) {
      put()
      await checkpoint()
    }
    expect(core.machine.checkpointIndex).toBeGreaterThanOrEqual(29)
    expect(core.machine.checkpointIndex).toBeLessThan(89)
  })

  test('nothing from the oldest message of the delay levels on that is not delivered, and never less than before', async () => {
    put()
    delay()
    delay()
    put()
    await flush(core, 3)
    expect(core.machine.checkpointIndex).toBe(0)
    deliver(0)
    await flush(core, 4)
    expect(core.machine.checkpointIndex).toBe(1)
    deliver(1)
    await flush(core, 5)
    expect(core.machine.checkpointIndex).toBe(5)
    delay()
    await flush(core, 6)
    expect(core.machine.checkpointIndex).toBe(5)
  })

  test('nothing when it cannot be told what is pending', () => {
    const told: number[] = []
    const need = (error: Error | null, physicalOffset: number): NeedsRecords => ({
      oldestNeeded: (callback) => callback(error, physicalOffset),
    })
    const first = (needs: NeedsRecords[], index: number | null): void =>
      new NeededEntries({ log: { firstIndexInFileOf: () => index }, needs, logger: silentLogger }).firstNeeded(
        (found) => told.push(found),
      )
    first([need(null, Number.POSITIVE_INFINITY)], 3)
    first([need(null, 1_000), need(null, Number.POSITIVE_INFINITY)], 3)
    first([need(null, 1_000)], null)
    // Told as the start of the file that holds it.
    const asked: number[] = []
    new NeededEntries({
      log: { firstIndexInFileOf: (pos) => asked.push(pos) },
      needs: [need(null, 4_096)],
      logger: silentLogger,
    }).firstNeeded(() => {})
    expect(asked).toEqual([4_096])
    first([need(new Error('unreadable'), 0), need(null, 1_000)], 0)
    expect(told).toEqual([Number.POSITIVE_INFINITY, 3, 0, 0])
  })
})

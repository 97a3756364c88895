/**
 * A flipped bit of a ConsumeQueue file, wherever it is: whoever filters by a tag gets every message all the same, for the entries are
 * compared with their sums and built again.
 */
import fs from 'node:fs'
import path from 'node:path'
import { javaHash, recordBody } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { GetResult } from '../api.ts'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import { SealedMetadata } from '../metadata/sealed-metadata.ts'
import { finishRestore } from '../snapshot/state-restore.ts'
import { keptRow, restoredCheckpoint, STATE_BEFORE, STATE_FROM, streamedRow } from '../snapshot/state-rows.ts'
import type { StoreCore } from '../store-core.ts'
import { close, EntryMaker, flush, load, makeCore, message, TempDirectory } from '../testing/fixture.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { MemoryLog } from '../testing/memory-log.ts'

const ENTRY_BYTES = 20
/** Parts of 500 and of 200 entries. */
const ENTRIES_PER_FILE = 700
const TAGS = 3

let temp: TempDirectory
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(() => temp.remove())

class Store {
  readonly clock = new ManualClock()
  readonly log = new MemoryLog()
  metadata = new MemoryMetadata(this.clock)
  core: StoreCore
  readonly #directory: string
  readonly #maker = new EntryMaker()

  constructor(directory: string) {
    this.#directory = directory
    this.core = this.#make('this boot')
  }

  #make(bootId: string): StoreCore {
    const consumeQueueFileBytes = ENTRIES_PER_FILE * ENTRY_BYTES
    const { clock, metadata } = this
    return makeCore({ directory: this.#directory, clock, metadata, consumeQueueFileBytes, hotBytesMax: 1, bootId })
  }

  async start(bootId = 'this boot'): Promise<void> {
    this.core = this.#make(bootId)
    await load(this.core)
    this.log.lead(this.core)
  }

  /** So many more messages, then a checkpoint. */
  async put(count: number): Promise<void> {
    const from = this.#maker.entries.length
    for (let i = from; i < from + count; i++) {
      this.#maker.add(message('T', String(i), { properties: `TAGS\x01tag${i % TAGS}\x02` }))
    }
    const added = this.#maker.entries.slice(from)
    this.log.entries.push(...added)
    this.core.machine.apply(added)
    await flush(this.core, this.core.machine.appliedIndex)
  }

  flip(entry: number, bit: number): void {
    const start = (entry - (entry % ENTRIES_PER_FILE)) * ENTRY_BYTES
    const file = path.join(this.#directory, 'consumequeue/T/0', String(start).padStart(20, '0'))
    const at = (entry % ENTRIES_PER_FILE) * ENTRY_BYTES + (bit >> 3)
    const bytes = fs.readFileSync(file)
    bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (bit & 7)), at)
    fs.writeFileSync(file, bytes)
  }

  /** The bodies of all messages with a tag. */
  async tagged(tag: number): Promise<readonly string[]> {
    const bodies: string[] = []
    const tagFilter = new Set([javaHash(`tag${tag}`)])
    for (let at = 0; at < this.log.entries.length;) {
      const { records, nextBeginOffset } = await this.#get(at, tagFilter)
      for (const record of records) bodies.push(recordBody(record).toString())
      expect(nextBeginOffset).toBeGreaterThan(at)
      at = nextBeginOffset
    }
    return bodies
  }

  async expectWhole(): Promise<void> {
    const all = this.log.entries.map((_, i) => i)
    for (let tag = 0; tag < TAGS; tag++) {
      expect(await this.tagged(tag)).toEqual(all.filter((i) => i % TAGS === tag).map(String))
    }
  }

  #get(queueOffset: number, tagFilter: ReadonlySet<number>): Promise<GetResult> {
    const request = { topic: 'T', queueId: 0, queueOffset, maxCount: 32, maxBytes: 1 << 20, tagFilter }
    return new Promise((resolve, reject) => {
      this.core.reader.get(request, (error, result) => (error === null ? resolve(result as GetResult) : reject(error)))
    })
  }
}

/** The database as a member has it that was given all of another one's state. */
async function restored(from: MemoryMetadata, clock: ManualClock, store: Store): Promise<MemoryMetadata> {
  const metadata = new MemoryMetadata(clock)
  const sealed = new SealedMetadata(metadata, clock)
  const rows = await new Promise<readonly { key: string; value: Buffer }[]>((resolve) => {
    new SealedMetadata(from, clock).range({ from: STATE_FROM, before: STATE_BEFORE, limit: 1e6 }, (_, found) =>
      resolve(found),
    )
  })
  const staged = rows.flatMap((row) => {
    const streamed = streamedRow(row)
    return streamed === null ? [] : [keptRow(streamed)]
  })
  const prefix = `${STATE_BEFORE}incoming\0`
  const mark = { key: `${prefix}\0mark`, value: Buffer.from(JSON.stringify(store.core.machine.applied)) }
  const writes = [mark, ...staged.map(({ key, value }) => ({ key: prefix + key, value }))]
  // What it had before, which is nothing of the new state's.
  const stale = { key: `${STATE_BEFORE}sums\0T\x000\0${'0'.repeat(16)}`, value: Buffer.from('000001f400000000', 'hex') }
  await new Promise<void>((resolve, reject) => {
    sealed.write([...writes, stale], { sync: true }, (error) => (error === null ? resolve() : reject(error)))
  })
  await new Promise<void>((resolve, reject) => {
    const options = { metadata: sealed, checkpointRow: restoredCheckpoint, discard: () => {} }
    finishRestore(options, (error) => (error === null ? resolve() : reject(error)))
  })
  return metadata
}

describe('a flipped bit of a queue file', () => {
  test('hides no message, wherever it is and however the entries were written', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 800 }), { minLength: 1, maxLength: 5 }),
        fc.array(fc.tuple(fc.nat(), fc.nat(ENTRY_BYTES * 8 - 1), fc.constantFrom('goes on', 'killed', 'power cut')), {
          minLength: 1,
          maxLength: 3,
        }),
        async (counts, flips) => {
          const store = new Store(fs.mkdtempSync(path.join(temp.path, 'run-')))
          await store.start()
          for (const count of counts) await store.put(count)
          for (const [place, bit, way] of flips) {
            if (way === 'goes on') await store.put(1 + (place % 30))
            await close(store.core)
            store.flip(place % store.log.entries.length, bit)
            await store.start(way === 'power cut' ? `boot ${place}` : undefined)
            if (way === 'killed') await store.put(1 + (place % 600))
            await store.expectWhole()
          }
          await close(store.core)
        },
      ),
      { numRuns: 25 },
    )
  })

  test('is found while the store runs, also where the entries were built again before', async () => {
    const store = new Store(temp.path)
    await store.start()
    await store.put(1_650)
    await close(store.core)
    fs.rmSync(path.join(temp.path, 'consumequeue'), { recursive: true })
    await store.start()
    await store.expectWhole()
    for (const entry of [3, 650, 1_399, 1_400]) {
      store.flip(entry, 8 * 19)
      // What was read is at hand for a second.
      store.clock.advance(2_000)
      await store.expectWhole()
    }
    await close(store.core)
  })

  test('is found in the files that a member built behind a state that it was given', async () => {
    const store = new Store(temp.path)
    await store.start()
    await store.put(1_650)
    store.metadata = await restored(store.metadata, store.clock, store)
    await close(store.core)
    fs.rmSync(path.join(temp.path, 'consumequeue'), { recursive: true })
    await store.start()
    await store.expectWhole()
    await store.put(10)
    await close(store.core)
    for (const entry of [3, 650, 1_399, 1_620, 1_655]) {
      store.flip(entry, 8 * 19)
      await store.start()
      await store.expectWhole()
      await close(store.core)
    }
  })
})

/** A state on its way: the same bytes for the same rows, read again from anywhere, and nothing believed that is not as it was sent. */
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { AppliedMark } from '../apply.ts'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { MetadataRow } from '../metadata/metadata-store.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { ViewSnapshot } from './state-snapshot.ts'
import { finishRestore, StagedRestore } from './state-restore.ts'
import { CHECKPOINT_KEY, encodeQueue } from '../kept-rows.ts'
import { encodeEnd, encodeHead, encodeRows, StateStreamReader } from './state-stream.ts'

const clock = new ManualClock()
const MARK: AppliedMark = { index: 41, term: 3, physicalEnd: 9_000, storeTimestamp: 1_700_000_000_000 }

function read(snapshot: ViewSnapshot, at: number, bytesMax: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    snapshot.read(at, bytesMax, (error, bytes) => (bytes === null ? reject(error as Error) : resolve(bytes)))
  })
}

async function whole(snapshot: ViewSnapshot, bytesMax: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  let at = 0
  for (;;) {
    const piece = await read(snapshot, at, bytesMax)
    if (piece.length === 0) return Buffer.concat(pieces)
    expect(piece.length).toBeLessThanOrEqual(bytesMax)
    pieces.push(Buffer.from(piece))
    at += piece.length
  }
}

function write(metadata: MemoryMetadata, rows: readonly { key: string; value: Buffer | null }[]): Promise<void> {
  return new Promise((resolve) => metadata.write(rows, { sync: true }, () => resolve()))
}

function rowsOf(metadata: MemoryMetadata): Promise<[string, string][]> {
  return new Promise((resolve) =>
    metadata.range({ from: '', before: '\uffff', limit: 1e9 }, (_, rows) =>
      resolve(rows.map(({ key, value }) => [key, value.toString('hex')])),
    ),
  )
}

async function filled(count: number, valueBytes: number): Promise<MemoryMetadata> {
  const metadata = new MemoryMetadata(clock)
  const rows: MetadataRow[] = [{ key: CHECKPOINT_KEY, value: Buffer.from('local') }]
  for (let i = 0; i < count; i++) {
    const value = Buffer.alloc(valueBytes, i)
    rows.push({ key: `offset\0g\0t${i}\x000`, value }, { key: `~timer\0${String(i).padStart(9, '0')}`, value })
    rows.push({
      key: `queue\0t${i}\x000`,
      value: encodeQueue({
        nextOffset: i + 1,
        minOffset: i,
        firstPhysicalOffset: i * 7,
        lastPhysicalOffset: i * 7,
        syncedOffset: 0,
        sumFrom: i + 1,
        sum: 0,
      }),
    })
  }
  await write(metadata, rows)
  return metadata
}

describe('a state as a stream', () => {
  test('has the same bytes in pieces of any size, read again from anywhere, while the database goes on', async () => {
    const metadata = await filled(3_000, 300)
    const snapshot = new ViewSnapshot(metadata.view(), MARK)
    const bytes = await whole(snapshot, 1024 * 1024)
    expect(bytes.length).toBeGreaterThan(1024 * 1024)
    await write(metadata, [
      { key: 'offset\0g\0t5\x000', value: null },
      { key: 'topic\0new', value: Buffer.from('x') },
    ])
    expect((await whole(snapshot, 10_007)).equals(bytes)).toBe(true)
    for (const at of [0, 5, 300_000, bytes.length - 3]) {
      const piece = await read(snapshot, at, 50_000)
      expect(piece.equals(bytes.subarray(at, at + piece.length))).toBe(true)
    }
    snapshot.close()
    const other = new ViewSnapshot((await filled(3_000, 300)).view(), MARK)
    expect(other.id).toBe(snapshot.id)
    expect((await whole(other, 65_536)).equals(bytes)).toBe(true)
  })

  test('gives the rows back, whatever the pieces in which it comes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.stringMatching(/^[a-z]{1,9}$/), { maxLength: 40 }),
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 20 }),
        async (names, cuts) => {
          const metadata = new MemoryMetadata(clock)
          const rows = names.map((name, i) => ({ key: `topic\0${name}`, value: Buffer.alloc(i * 9, i) }))
          await write(metadata, rows)
          const bytes = await whole(new ViewSnapshot(metadata.view(), MARK), 333)
          const reader = new StateStreamReader()
          const taken: MetadataRow[] = []
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const end = at + (cuts[i % cuts.length] as number)
            for (const row of reader.take(bytes.subarray(at, end)))
              taken.push({ ...row, value: Buffer.from(row.value) })
            at = end
          }
          expect([reader.isWhole, reader.mark]).toEqual([true, MARK])
          expect(taken).toEqual(rows.sort((a, b) => (a.key < b.key ? -1 : 1)))
        },
      ),
    )
  })

  test('is refused when any bit of it is flipped, any byte missing, or its frames are out of order', () => {
    const rows = [{ key: 'topic\0a', value: Buffer.from('value') }]
    const frames = [encodeHead(MARK), encodeRows(1, rows), encodeRows(2, rows), encodeEnd(3, 2)]
    const good = Buffer.concat(frames)
    const isTaken = (bytes: Buffer): boolean => {
      const reader = new StateStreamReader()
      try {
        reader.take(bytes)
      } catch (error) {
        expect(error).toMatchObject({ code: 'CORRUPT' })
        return false
      }
      return reader.isWhole
    }
    expect(isTaken(good)).toBe(true)
    for (let bit = 0; bit < good.length * 8; bit++) {
      const flipped = Buffer.from(good)
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
      expect(isTaken(flipped), `bit ${bit}`).toBe(false)
    }
    for (let end = 0; end < good.length; end++) expect(isTaken(good.subarray(0, end))).toBe(false)
    const [head, first, second, last] = frames as [Buffer, Buffer, Buffer, Buffer]
    for (const order of [
      [first, head],
      [head, second, first, last],
      [head, first, last],
      [...frames, last],
    ]) {
      expect(isTaken(Buffer.concat(order))).toBe(false)
    }
    expect(isTaken(randomBytes(10_000))).toBe(false)
  })
})

describe('a state that is taken in', () => {
  const newRow = (mark: AppliedMark): MetadataRow => ({ key: CHECKPOINT_KEY, value: Buffer.from(JSON.stringify(mark)) })

  /** Everything that a restore writes, cut after each batch. */
  class Recorded extends MemoryMetadata {
    readonly crashes: MemoryMetadata[] = []
    override write(...[writes, options, callback]: Parameters<MemoryMetadata['write']>): void {
      super.write(writes, options, (error) => {
        for (let kept = 0; kept <= this.unsyncedBatches; kept++) this.crashes.push(this.crash(kept))
        callback(error)
      })
    }
  }

  const finish = (metadata: MemoryMetadata): Promise<void> =>
    new Promise((resolve, reject) =>
      finishRestore({ metadata, checkpointRow: newRow, discard: () => {} }, (error) =>
        error === null ? resolve() : reject(error),
      ),
    )

  test('is the old one or the new one, whole, whenever the machine dies', async () => {
    const source = await filled(60, 20)
    const bytes = await whole(new ViewSnapshot(source.view(), MARK), 1 << 20)
    const metadata = new Recorded(clock)
    await write(metadata, [
      { key: CHECKPOINT_KEY, value: Buffer.from('old') },
      { key: 'topic\0old', value: Buffer.from('old') },
      { key: '~timer\0old', value: Buffer.from('old') },
    ])
    metadata.crashes.length = 0
    const old = await rowsOf(metadata)
    const atDiscard: MemoryMetadata[] = []
    const restore = new StagedRestore({
      metadata,
      index: MARK.index,
      begin: (ready) => ready(),
      adopt: (callback) => {
        // The old state's files go: from here on no power cut may bring its rows back.
        const discard = (): void => void atDiscard.push(metadata.crash(0))
        finishRestore({ metadata, checkpointRow: newRow, discard }, callback)
      },
      over: () => {},
    })
    const done = (step: (callback: (error: Error | null) => void) => void): Promise<void> =>
      new Promise((resolve, reject) => step((error) => (error === null ? resolve() : reject(error))))
    for (let at = 0; at < bytes.length; at += 1_000) {
      await done((callback) => restore.write(bytes.subarray(at, at + 1_000), callback))
    }
    await done((callback) => restore.commit(callback))
    const expected = await rowsOf(metadata)
    expect(expected.map(([key]) => key)).not.toContain('topic\0old')
    expect(expected).toHaveLength(60 * 3 + 1)
    expect(atDiscard).toHaveLength(1)
    expect((await rowsOf(atDiscard[0] as MemoryMetadata)).map(([key]) => key)).toContain('restoring')
    let restored = 0
    for (const survivor of metadata.crashes) {
      const isNew = (await rowsOf(survivor)).some(([key]) => key === 'restoring')
      if (isNew) await finish(survivor)
      const found = (await rowsOf(survivor)).filter(([key]) => !key.startsWith('~~'))
      const isNewWhole = JSON.stringify(found) === JSON.stringify(expected)
      if (isNewWhole) restored++
      else expect(found).toEqual(old)
    }
    expect(restored).toBeGreaterThan(3)
    expect(restored).toBeLessThan(metadata.crashes.length - 3)
  })

  test('is refused when it is not the one that was announced, or not whole, and the old one stays', async () => {
    const bytes = await whole(new ViewSnapshot((await filled(2, 20)).view(), MARK), 1 << 20)
    for (const [index, length] of [
      [40, bytes.length],
      [41, bytes.length - 1],
    ] as const) {
      const metadata = await filled(1, 4)
      const before = await rowsOf(metadata)
      const restore = new StagedRestore({
        metadata,
        index,
        begin: (ready) => ready(),
        adopt: () => expect.unreachable(),
        over: () => {},
      })
      await new Promise<void>((resolve) => restore.write(bytes.subarray(0, length), () => resolve()))
      const failure = await new Promise((resolve) => restore.commit(resolve))
      expect(failure).toMatchObject({ code: 'CORRUPT' })
      restore.abort()
      expect((await rowsOf(metadata)).filter(([key]) => !key.startsWith('~~'))).toEqual(before)
    }
  })
})

/** A database that lost or changed something is found out: rows, whole batches, the newest state of some. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ManualClock } from '../testing/manual-clock.ts'
import { MemoryMetadata } from './memory-metadata.ts'
import type { MetadataRow, MetadataStore, MetadataWrite } from './metadata-store.ts'
import { SealedMetadata } from './sealed-metadata.ts'

/** Keeps its batches, so that a test can leave some out. */
class Recorder extends MemoryMetadata {
  readonly batches: (readonly MetadataWrite[])[] = []

  override write(
    writes: readonly MetadataWrite[],
    options: { sync: boolean },
    callback: (error: Error | null) => void,
  ): void {
    this.batches.push(writes)
    super.write(writes, options, callback)
  }
}

function write(store: MetadataStore, writes: readonly MetadataWrite[]): Promise<void> {
  return new Promise((resolve, reject) => {
    store.write(writes, { sync: true }, (error) => (error === null ? resolve() : reject(error)))
  })
}

function load(store: MetadataStore): Promise<ReadonlyMap<string, string>> {
  return new Promise((resolve, reject) => {
    store.load((error, rows) => {
      if (error !== null) reject(error)
      else resolve(contentOf(rows))
    })
  })
}

function contentOf(rows: readonly MetadataRow[]): ReadonlyMap<string, string> {
  return new Map(rows.map(({ key, value }) => [key, value.toString()]))
}

const batch = fc.array(
  fc.record({ key: fc.constantFrom('a', 'b', 'c', '~row'), value: fc.option(fc.string({ maxLength: 4 })) }),
  { minLength: 1, maxLength: 4 },
)

function writesOf(rows: readonly { key: string; value: string | null }[]): MetadataWrite[] {
  return rows.map(({ key, value }) => ({ key, value: value === null ? null : Buffer.from(value) }))
}

describe('a sealed database', () => {
  test('gives back the rows of its batches, or of the first ones of them, and nothing else when batches in between are lost', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(batch, { minLength: 1, maxLength: 6 }),
        fc.array(fc.boolean()),
        async (batches, lost) => {
          const clock = new ManualClock()
          const recorder = new Recorder(clock)
          const sealed = new SealedMetadata(recorder)
          await load(sealed)
          const states: ReadonlyMap<string, string>[] = [new Map()]
          for (const rows of batches) {
            await write(sealed, writesOf(rows))
            states.push(await load(sealed))
          }
          const kept = recorder.batches.filter((_, i) => lost[i] !== true)
          const survivor = new MemoryMetadata(clock)
          for (const rows of kept) await write(survivor, rows)
          const isPrefix = kept.every((rows, i) => rows === recorder.batches[i])
          if (isPrefix) expect(await load(new SealedMetadata(survivor))).toEqual(states[kept.length])
          else await expect(load(new SealedMetadata(survivor))).rejects.toMatchObject({ code: 'CORRUPT' })
        },
      ),
      { numRuns: 150 },
    )
  })

  test('takes nothing more after a batch that failed, and stays as it was before or after that one', async () => {
    const clock = new ManualClock()
    for (const isWritten of [false, true]) {
      const failure = new Error('no room')
      const failing = new (class extends MemoryMetadata {
        isFailing = false
        override write(
          writes: readonly MetadataWrite[],
          options: { sync: boolean },
          callback: (error: Error | null) => void,
        ): void {
          if (!this.isFailing) return super.write(writes, options, callback)
          this.isFailing = false
          if (!isWritten) return callback(failure)
          super.write(writes, options, () => callback(failure))
        }
      })(clock)
      const sealed = new SealedMetadata(failing)
      await load(sealed)
      await write(sealed, writesOf([{ key: 'a', value: '1' }]))
      failing.isFailing = true
      await expect(write(sealed, writesOf([{ key: 'b', value: '2' }]))).rejects.toBe(failure)
      await expect(write(sealed, writesOf([{ key: 'c', value: '3' }]))).rejects.toBe(failure)
      expect([...(await load(new SealedMetadata(failing))).keys()]).toEqual(isWritten ? ['a', 'b'] : ['a'])
      // What is begun anew is taken.
      await new Promise((resolve) => sealed.clear('a', resolve))
      await write(sealed, writesOf([{ key: 'd', value: '4' }]))
      expect([...(await load(new SealedMetadata(failing))).keys()]).toEqual(['d'])
    }
  })

  test('finds every changed byte of a row, and every row that is gone', async () => {
    const clock = new ManualClock()
    const recorder = new Recorder(clock)
    const sealed = new SealedMetadata(recorder)
    await write(
      sealed,
      writesOf([
        { key: 'a', value: 'x' },
        { key: '~row', value: 'yy' },
      ]),
    )
    await write(
      sealed,
      writesOf([
        { key: 'b', value: '' },
        { key: 'a', value: 'z' },
      ]),
    )
    const rows = await new Promise<readonly MetadataRow[]>((resolve) => {
      recorder.range({ from: '', before: '\x7f', limit: 100 }, (_, all) => resolve(all))
    })
    const read = async (some: readonly MetadataRow[]): Promise<unknown> => {
      const copy = new MemoryMetadata(clock)
      await write(copy, some)
      const one = new SealedMetadata(copy)
      const main = await load(one)
      const tables = await new Promise((resolve, reject) => {
        one.range({ from: '~', before: '\x7f', limit: 9 }, (error, all) =>
          error === null ? resolve(contentOf(all)) : reject(error),
        )
      })
      return [main, tables]
    }
    const whole = [
      new Map([
        ['a', 'z'],
        ['b', ''],
      ]),
      new Map([['~row', 'yy']]),
    ]
    expect(await read(rows)).toEqual(whole)
    for (const [i, { key, value }] of rows.entries()) {
      if (!key.startsWith('~'))
        await expect(read(rows.filter((_, j) => j !== i))).rejects.toMatchObject({ code: 'CORRUPT' })
      for (let at = 0; at < value.length; at++) {
        const flipped = Buffer.from(value)
        flipped[at] = (flipped[at] ?? 0) ^ 0x10
        const changed = rows.map((row, j) => (j === i ? { key, value: flipped } : row))
        await expect(read(changed)).rejects.toMatchObject({ code: 'CORRUPT' })
      }
    }
  })
})

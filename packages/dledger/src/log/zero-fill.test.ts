/** Claiming room ahead of the log's end, on a disk that fills up and empties: nothing that was appended is ever written over. */
import { silentLogger } from '@dledger-ts/base'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SmallDisk } from '../driver/testing/small-disk.ts'
import type { EntryBatch } from './entry-batch.ts'
import { batchAfter, openLog, read } from './log-fixture.ts'

const FILE_BYTES = 8 * 1024
const CAPACITY = 256 * 1024
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

type Step =
  | { readonly kind: 'append'; readonly bodyBytes: number }
  | { readonly kind: 'fill' | 'empty' | 'claim' | 'claim nothing' | 'retry' | 'turn' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('append' as const), bodyBytes: fc.integer({ min: 1, max: 1_500 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'fill' as const,
        'empty' as const,
        'claim' as const,
        'claim nothing' as const,
        'retry' as const,
        'turn' as const,
      ),
    }),
  },
)

test('what is appended stays as it is, whenever room is claimed, refused and found again', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
      const disk = new SmallDisk(CAPACITY)
      const options = {
        disk,
        fileBytes: FILE_BYTES,
        indexFileBytes: 32 * 64,
        zeroFillBytes: 2048,
        logger: silentLogger,
      }
      const log = openLog('/log', options)
      const batches: EntryBatch[] = []
      let written = 0
      for (const each of steps) {
        if (each.kind === 'append') {
          const batch = batchAfter(log, 1, [{ bodyBytes: each.bodyBytes }])
          batches.push(batch)
          log.append(batch, (error) => {
            expect(error).toBeNull()
            written++
          })
        } else if (each.kind === 'fill') disk.othersBytes += disk.freeBytesSync()
        else if (each.kind === 'empty') disk.othersBytes = 0
        else if (each.kind === 'claim') log.claimsAhead = true
        else if (each.kind === 'claim nothing') log.claimsAhead = false
        else if (each.kind === 'retry') log.retryFull()
        else for (let i = 0; i < 4; i++) await turn()
      }
      disk.othersBytes = 0
      log.claimsAhead = true
      for (let i = 0; i < 200 && (written < batches.length || log.isFull); i++) {
        log.retryFull()
        await turn()
      }
      expect([written, log.isFull]).toEqual([batches.length, false])
      for (const batch of batches)
        expect((await read(log, batch.firstIndex, batch.firstIndex, 1)).bytes.equals(batch.bytes)).toBe(true)
      log.close()
    }),
    { numRuns: 300 },
  )
})

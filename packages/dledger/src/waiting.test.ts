/** Waits of the embedding API: each has an end, and who gave up is forgotten. */
import { systemClock } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import { DLedger } from './dledger.ts'
import { HangingDisk } from './driver/testing/hanging-disk.ts'
import { MemoryDisk } from './disk/memory-disk.ts'
import { Waiters } from './waiters.ts'

const small = { fileBytes: 64 * 1024, indexFileBytes: 32 * 1024, zeroFillBytes: 0 }

test('readers who gave up following are not asked any more', async () => {
  const log = await DLedger.open({ directory: '/n0', disk: new MemoryDisk(), ...small })
  for (let i = 0; i < 100; i++) {
    const abort = new AbortController()
    const next = log.entries({ from: 1_000_000, follow: true, signal: abort.signal }).next()
    setImmediate(() => abort.abort(new Error('enough')))
    await expect(next).rejects.toThrow('enough')
  }
  let looks = 0
  const { commitIndex } = log
  Object.defineProperty(log, 'commitIndex', { get: () => (looks++, commitIndex) })
  await log.append(Buffer.from('x'))
  await new Promise((resolve) => setImmediate(resolve))
  expect(looks).toBe(0)
  await log.close()
})

test('a trim that cannot be committed ends with TIMEOUT, like an append', async () => {
  const disk = new HangingDisk()
  const log = await DLedger.open({ directory: '/n0', disk, proposalTimeoutMs: 200, ...small })
  await log.append(Buffer.from('x'))
  disk.hangs = true
  const startedMs = systemClock.monotonicMs()
  await expect(log.trimBefore(1)).rejects.toMatchObject({ code: 'TIMEOUT' })
  expect(systemClock.monotonicMs() - startedMs).toBeLessThan(5_000)
  disk.release()
  await log.close()
})

test('a wait ends when its condition holds, when nothing can come any more, or with the reason of its abort', async () => {
  let end: Error | null = null
  let isThere = false
  const waiters = new Waiters(() => end)
  const condition = (): boolean => isThere
  const abort = new AbortController()
  const waits = [waiters.until(condition), waiters.until(condition, abort.signal), waiters.until(() => false)]
  waiters.wake()
  await new Promise((resolve) => setImmediate(resolve))
  expect(waiters.count).toBe(3)
  abort.abort(new Error('enough'))
  await expect(waits[1]).rejects.toThrow('enough')
  expect(waiters.count).toBe(2)
  isThere = true
  waiters.wake()
  await waits[0]
  await new Promise((resolve) => setImmediate(resolve))
  expect(waiters.count).toBe(1)
  end = new Error('closed')
  waiters.wake()
  await expect(waits[2]).rejects.toThrow('closed')
  expect(waiters.count).toBe(0)
  await expect(waiters.until(condition, abort.signal)).resolves.toBeUndefined()
  isThere = false
  await expect(waiters.until(condition, abort.signal)).rejects.toThrow('enough')
})

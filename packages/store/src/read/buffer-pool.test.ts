import { AssertionError } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import { BufferPool } from './buffer-pool.ts'

const KIB = 1024

test('what is given back is used again, also for fewer bytes', () => {
  const pool = new BufferPool(1024 * KIB)
  const first = pool.take(40 * KIB)
  expect([first.length, first.buffer.byteLength]).toEqual([40 * KIB, 64 * KIB])
  pool.give(first)
  expect(pool.keptBytes).toBe(64 * KIB)
  const second = pool.take(64 * KIB)
  expect([second.length, second.buffer === first.buffer, pool.keptBytes]).toEqual([64 * KIB, true, 0])
  expect(pool.take(64 * KIB).buffer).not.toBe(first.buffer)
})

test.each([16 * KIB, 16 * KIB + 1, 32 * KIB, 2 * 1024 * KIB])('%i bytes are less than twice as many', (bytes) => {
  const { buffer, length } = new BufferPool(0).take(bytes)
  expect(length).toBe(bytes)
  expect(buffer.byteLength).toBeLessThan(2 * bytes)
})

test('no more is kept than is said', () => {
  const pool = new BufferPool(100 * KIB)
  for (const taken of [1, 2, 3].map(() => pool.take(33 * KIB))) pool.give(taken)
  expect(pool.keptBytes).toBe(64 * KIB)
})

test('small and very large ones are not kept', () => {
  const pool = new BufferPool(Number.POSITIVE_INFINITY)
  for (const bytes of [0, 1, 16 * KIB - 1, 2 * 1024 * KIB + 1]) {
    expect(BufferPool.keeps(bytes)).toBe(false)
    const taken = pool.take(bytes)
    expect(taken.length).toBe(bytes)
    pool.give(taken)
  }
  expect(pool.keptBytes).toBe(0)
})

test('what was not taken here, or is a part of it, is not given back', () => {
  const pool = new BufferPool(1024 * KIB)
  expect(() => pool.give(Buffer.allocUnsafeSlow(40 * KIB))).toThrow(AssertionError)
  expect(() => pool.give(pool.take(64 * KIB).subarray(0, 20 * KIB))).toThrow(AssertionError)
})

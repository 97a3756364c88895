/** A kernel that takes less of a write than it was given, or nothing: the rest follows, and nothing is an error and no loop. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { DiskFile } from './disk.ts'
import { nodeDisk } from './node-disk.ts'

type Written = (error: NodeJS.ErrnoException | null, count: number) => void

const BYTES = Buffer.from('0123456789')
const CALLS_MAX = 100
let directory: string
let file: DiskFile

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'dledger-disk-'))
  file = nodeDisk.openSync(`${directory}/file`, { create: true })
})

afterEach(() => {
  vi.restoreAllMocks()
  file.closeSync()
  fs.rmSync(directory, { recursive: true })
})

/** From now on the kernel takes `counts[n]` bytes of the n-th write, then all that it is given. @returns how often it was asked. */
function takes(counts: readonly number[]): () => number {
  let calls = 0
  const { writeSync } = fs
  const taken = (given: number): number => {
    if (calls >= CALLS_MAX) throw new Error('asked again and again')
    return Math.min(given, counts[calls++] ?? given)
  }
  const one = (fd: number, bytes: Buffer, from: number, length: number, at: number): number => {
    const count = taken(length)
    return count === 0 ? 0 : writeSync(fd, bytes, from, count, at)
  }
  vi.spyOn(fs, 'writeSync').mockImplementation(one as typeof fs.writeSync)
  const write = (
    fd: number,
    bytes: Buffer,
    from: number,
    length: number | undefined,
    at: number,
    told: Written,
  ): void => {
    setImmediate(() => told(null, one(fd, bytes, from, length ?? bytes.length - from, at)))
  }
  vi.spyOn(fs, 'write').mockImplementation(write as unknown as typeof fs.write)
  const writev = (fd: number, buffers: readonly Buffer[], at: number, told: Written): void => {
    const all = Buffer.concat(buffers)
    setImmediate(() => told(null, one(fd, all, 0, all.length, at)))
  }
  vi.spyOn(fs, 'writev').mockImplementation(writev as unknown as typeof fs.writev)
  return () => calls
}

const written = (buffers: readonly Buffer[]): Promise<Error | null> =>
  new Promise((resolve) => file.write(buffers, 2, resolve))

const SPLIT = [BYTES.subarray(0, 3), BYTES.subarray(3, 3), BYTES.subarray(3, 7), BYTES.subarray(7)]

test.each([
  ['one buffer', [BYTES]],
  ['several buffers', SPLIT],
])('the rest of a write of %s follows', async (_, buffers) => {
  const calls = takes([1, 2, 4])
  expect(await written(buffers)).toBeNull()
  expect(calls()).toBe(4)
  expect(fs.readFileSync(`${directory}/file`)).toEqual(Buffer.concat([Buffer.alloc(2), BYTES]))
})

test('the rest of a synchronous write follows', () => {
  const calls = takes([1, 2, 4])
  file.writeSync(BYTES, 2)
  expect(calls()).toBe(4)
  expect(fs.readFileSync(`${directory}/file`)).toEqual(Buffer.concat([Buffer.alloc(2), BYTES]))
})

test.each([
  ['one buffer', [BYTES]],
  ['several buffers', SPLIT],
])('a write of %s of which the kernel takes nothing fails, and all that follows', async (_, buffers) => {
  const calls = takes([3, 0])
  const error = await written(buffers)
  expect(error).toMatchObject({ code: 'EIO', message: expect.stringContaining(`${directory}/file at 5`) as string })
  expect(calls()).toBe(2)
  expect(await new Promise((resolve) => file.sync(resolve))).toBe(error)
})

test('a synchronous write of which the kernel takes nothing fails, and all that follows', () => {
  const calls = takes([3, ...Array<number>(CALLS_MAX).fill(0)])
  expect(() => file.writeSync(BYTES, 2)).toThrow(`nothing was written to ${directory}/file at 5`)
  expect(calls()).toBe(2)
  expect(() => file.syncSync()).toThrow('nothing was written')
})

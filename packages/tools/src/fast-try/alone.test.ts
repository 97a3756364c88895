/** Calls that start and stop servers in one directory take turns. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { alone } from './alone.ts'

let base: string
let directory: string

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'alone-'))
  directory = join(base, 'group')
})

afterEach(() => {
  rmSync(base, { recursive: true, force: true })
})

test('the second call waits for the first; an empty directory goes at the end', async () => {
  const order: string[] = []
  let end = (): void => {}
  const first = alone(directory, async () => {
    order.push('first begins')
    await new Promise<void>((resolve) => (end = resolve))
    order.push('first ends')
  })
  const isAtWork = (pid: number) => pid === process.pid
  const second = alone(directory, async () => void order.push('second'), isAtWork)
  setImmediate(() => end())
  await Promise.all([first, second])
  expect(order).toEqual(['first begins', 'first ends', 'second'])
  expect(existsSync(directory)).toBe(false)
})

test('the lock of a call that was killed is taken over', async () => {
  mkdirSync(directory)
  writeFileSync(join(directory, 'lock'), '999999999')
  writeFileSync(join(directory, 'data'), 'of somebody')
  let done = false
  await alone(directory, async () => {
    done = true
  })
  expect(done).toBe(true)
  expect(readdirSync(directory)).toEqual(['data'])
})

test('a call that fails gives the directory free', async () => {
  const failing = alone(directory, () => Promise.reject(new Error('no')))
  await expect(failing).rejects.toThrow('no')
  await alone(directory, async () => {})
})

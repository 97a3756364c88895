import { existsSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { deviceOf } from './device.ts'

it('is that of the nearest directory there is', () => {
  const { dev } = statSync(tmpdir())
  expect(deviceOf(tmpdir())).toBe(dev)
  expect(deviceOf(join(tmpdir(), 'not', 'made', 'yet'))).toBe(dev)
})

it.skipIf(!existsSync('/proc/self'))('differs from one device to another', () => {
  expect(deviceOf('/proc/self')).not.toBe(deviceOf(tmpdir()))
})

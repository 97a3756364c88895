/** What Apache's tools find beside the queues: how far all of it is synced, and whether a store is open. */
import fs from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MessageStore } from '../message-store.ts'
import { message, TempDirectory } from '../testing/fixture.ts'

let temp: TempDirectory
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(() => temp.remove())

test('the checkpoint names the newest synced message and the end of the log, and abort is there while the store is open', async () => {
  const file = path.join(temp.path, 'checkpoint')
  const abort = path.join(temp.path, 'abort')
  const store = await MessageStore.open({ dir: temp.path, fileBytes: 65_536 })
  expect(fs.readFileSync(abort, 'utf8')).toBe(String(process.pid))
  const { storeTimestamp } = await store.store(message('T', 'x'))
  const { maxPhysicalOffset } = store.status()
  await store.close()
  expect(fs.existsSync(abort)).toBe(false)
  const bytes = fs.readFileSync(file)
  expect(bytes.length).toBe(4096)
  const fields = [0, 8, 16, 24, 32].map((at) => Number(bytes.readBigInt64BE(at)))
  expect(fields).toEqual([storeTimestamp, storeTimestamp, 0, 0, maxPhysicalOffset])
  expect(bytes.subarray(40).every((byte) => byte === 0)).toBe(true)
})

test('neither is believed', async () => {
  const first = await MessageStore.open({ dir: temp.path, fileBytes: 65_536 })
  await first.store(message('T', 'x'))
  await first.close()
  fs.writeFileSync(path.join(temp.path, 'checkpoint'), Buffer.alloc(100, 0xff))
  fs.writeFileSync(path.join(temp.path, 'abort'), 'x')
  const again = await MessageStore.open({ dir: temp.path, fileBytes: 65_536 })
  expect(again.maxOffset('T', 0)).toBe(1)
  await again.close()
  expect(fs.existsSync(path.join(temp.path, 'abort'))).toBe(false)
})

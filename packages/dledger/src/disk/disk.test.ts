import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { writeQuickly } from './background.ts'
import { diskConformance } from './disk-conformance.ts'
import { MemoryDisk } from './memory-disk.ts'
import { nodeDisk } from './node-disk.ts'

describe('the disk in memory', () => {
  diskConformance(test, () => {
    const disk = new MemoryDisk()
    disk.makeDirectorySync('/d')
    return { disk, directory: '/d', dispose: () => {} }
  })
})

describe('the disk of this machine', () => {
  const temporary = (): string => fs.mkdtempSync(path.join(os.tmpdir(), 'dledger-disk-'))
  diskConformance(test, () => {
    const directory = temporary()
    return { disk: nodeDisk, directory, dispose: () => fs.rmSync(directory, { recursive: true }) }
  })

  test('a quick write that failed gives its error to everything that follows', async () => {
    const directory = temporary()
    const file = `${directory}/file`
    fs.writeFileSync(file, 'x')
    const opened = nodeDisk.openSync(file, { create: false, readOnly: true })
    const write = (): Promise<Error | null> =>
      new Promise((resolve) => writeQuickly(opened, [Buffer.from('y')], 0, resolve))
    const first = await write()
    expect(first).toMatchObject({ code: 'EBADF' })
    expect(await write()).toBe(first)
    expect(await new Promise((resolve) => opened.sync(resolve))).toBe(first)
    opened.closeSync()
    fs.rmSync(directory, { recursive: true })
  })

  test.skipIf(!fs.existsSync('/dev/full'))('a quick write that finds no room poisons nothing', async () => {
    const full = nodeDisk.openSync('/dev/full', { create: false })
    for (const buffers of [[Buffer.alloc(10)], [Buffer.alloc(10), Buffer.alloc(10)]]) {
      const error = await new Promise((resolve) => writeQuickly(full, buffers, 0, resolve))
      expect(error).toMatchObject({ code: 'ENOSPC' })
    }
    expect(await new Promise((resolve) => full.read(Buffer.alloc(1), 0, resolve))).toBe(null)
    full.closeSync()
  })

  test('a file whose write failed gives that error to everything that follows', async () => {
    const directory = temporary()
    const file = `${directory}/file`
    fs.writeFileSync(file, 'x')
    const opened = nodeDisk.openSync(file, { create: false, readOnly: true })
    const write = (): Promise<Error | null> => new Promise((resolve) => opened.write([Buffer.from('y')], 0, resolve))
    const first = await write()
    expect(first).toMatchObject({ code: 'EBADF' })
    expect(await write()).toBe(first)
    expect(await new Promise((resolve) => opened.sync(resolve))).toBe(first)
    expect(await new Promise((resolve) => opened.read(Buffer.alloc(1), 0, resolve))).toBe(first)
    expect(() => opened.writeSync(Buffer.from('y'), 0)).toThrow(first as Error)
    expect(() => opened.syncSync()).toThrow(first as Error)
    expect(() => opened.truncateSync(0)).toThrow(first as Error)
    opened.closeSync()
    opened.closeSync()
    fs.rmSync(directory, { recursive: true })
  })

  test.skipIf(!fs.existsSync('/dev/full'))('a full disk is an error of the write', async () => {
    const full = nodeDisk.openSync('/dev/full', { create: false })
    const error = await new Promise((resolve) => full.write([Buffer.alloc(10), Buffer.alloc(10)], 0, resolve))
    expect(error).toMatchObject({ code: 'ENOSPC' })
    full.closeSync()
  })

  test.skipIf(!fs.existsSync('/dev/full'))('a lock that finds no room leaves nothing behind', () => {
    const directory = temporary()
    const lock = `${directory}/lock`
    // Where its draft goes: a place without room.
    for (let i = 0; i < 1_000; i++) fs.symlinkSync('/dev/full', `${lock}.${process.pid}.${i}`)
    expect(() => nodeDisk.createExclusiveSync(lock, 'content')).toThrow('ENOSPC')
    expect(fs.readdirSync(directory)).toHaveLength(999)
    fs.rmSync(directory, { recursive: true })
  })
})

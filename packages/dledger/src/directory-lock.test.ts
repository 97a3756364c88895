import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { crc32 } from '@dledger-ts/base'
import { describe, expect, test } from 'vitest'
import { lockDirectory, type DirectoryLock, type LockOwner } from './directory-lock.ts'
import { MemoryDisk } from './disk/memory-disk.ts'
import { nodeDisk } from './disk/node-disk.ts'

/** Processes of one machine that are alive, as `pid/start/boot`. */
class Machine {
  readonly alive = new Set<string>()

  start(pid: number, processStart = '1000', bootId = 'boot-1'): LockOwner {
    this.alive.add(`${pid}/${processStart}/${bootId}`)
    const isAlive = (otherPid: number, start: string, boot: string): boolean =>
      this.alive.has(`${otherPid}/${start}/${boot}`)
    return { pid, processStart, bootId, isAlive }
  }

  end(owner: LockOwner): void {
    this.alive.delete(`${owner.pid}/${owner.processStart}/${owner.bootId}`)
  }
}

function emptyDisk(): MemoryDisk {
  const disk = new MemoryDisk()
  disk.makeDirectorySync('/m')
  return disk
}

test('a directory in use is refused, naming it and the process', () => {
  const machine = new Machine()
  const disk = emptyDisk()
  const lock = lockDirectory(disk, '/m', machine.start(11))
  expect(() => lockDirectory(disk, '/m', machine.start(12))).toThrow(/^\/m: is in use by process 11$/)
  expect(() => lockDirectory(disk, '/m', machine.start(11))).toThrow('process 11')
  lock.release()
  lock.release()
  const next = lockDirectory(disk, '/m', machine.start(12))
  lock.release()
  expect(() => lockDirectory(disk, '/m', machine.start(11))).toThrow('process 12')
  next.release()
  expect(disk.listSync('/m')).toEqual([])
})

test.each([
  { name: 'a process that is gone', holder: [11, '1000', 'boot-1'], lives: false },
  { name: 'a process whose pid another one has now', holder: [12, '999', 'boot-1'], lives: false },
  { name: 'a process before the machine was started anew', holder: [12, '1000', 'boot-0'], lives: false },
  { name: 'a process that lives', holder: [11, '1000', 'boot-1'], lives: true },
] as const)('a lock of $name is stale: not $lives', ({ holder, lives }) => {
  const machine = new Machine()
  const disk = emptyDisk()
  const [pid, processStart, bootId] = holder
  const former = machine.start(pid, processStart, bootId)
  lockDirectory(disk, '/m', former)
  if (!lives) machine.end(former)
  const owner = machine.start(12)
  if (lives) expect(() => lockDirectory(disk, '/m', owner)).toThrow('in use')
  else expect(lockDirectory(disk, '/m', owner)).toBeDefined()
})

test.each(['', '{', '{}', '[]', 'null', '{"pid":"1"}'])('a lock file that says %j holds nobody off', (content) => {
  const disk = emptyDisk()
  disk.createExclusiveSync('/m/lock', content)
  lockDirectory(disk, '/m', new Machine().start(1)).release()
  expect(disk.listSync('/m')).toEqual([])
})

describe('two processes that find the same stale lock', () => {
  /** Runs `interrupt` before the n-th operation on the disk. */
  class Interrupted extends MemoryDisk {
    countdown = Number.POSITIVE_INFINITY
    interrupt: () => void = () => {}

    #step(): void {
      if (this.countdown-- !== 0) return
      this.interrupt()
    }
    override createExclusiveSync(file: string, content: string): string | null {
      this.#step()
      return super.createExclusiveSync(file, content)
    }
    override removeSync(file: string): void {
      this.#step()
      super.removeSync(file)
    }
  }

  const attempt = (disk: MemoryDisk, owner: LockOwner): DirectoryLock | null => {
    try {
      return lockDirectory(disk, '/m', owner)
    } catch {
      return null
    }
  }

  /** A third process has died after it had made its second file. */
  function leaveTakeover(disk: MemoryDisk): void {
    const stale = disk.createExclusiveSync('/m/lock', '') as string
    const about = crc32(Buffer.from(stale)).toString(16)
    disk.createExclusiveSync(
      `/m/lock.takeover.${about}`,
      JSON.stringify({ pid: 4, processStart: '9', bootId: 'boot-1' }),
    )
  }

  test('the file of a taker that died is removed by who has the lock, and by nobody before', () => {
    const machine = new Machine()
    const disk = new Interrupted()
    disk.makeDirectorySync('/m')
    const dead = machine.start(5)
    lockDirectory(disk, '/m', dead)
    leaveTakeover(disk)
    machine.end(dead)
    const left = disk.listSync('/m')
    expect(left).toHaveLength(2)
    const removed: string[] = []
    const remove = disk.removeSync.bind(disk)
    disk.removeSync = (file) => {
      removed.push(file)
      remove(file)
    }
    const lock = lockDirectory(disk, '/m', machine.start(6))
    expect(removed[0]).toBe('/m/lock')
    expect(removed.slice(1)).toContain(`/m/${left[1]}`)
    expect(disk.listSync('/m')).toEqual(['lock'])
    lock.release()
    expect(disk.listSync('/m')).toEqual([])
  })

  test.each([false, true])('never both get it, whenever the second comes; a dead taker was there: %s', (deadTaker) => {
    let got = 0
    for (let at = 0; at < 12; at++) {
      const machine = new Machine()
      const disk = new Interrupted()
      disk.makeDirectorySync('/m')
      const dead = machine.start(5)
      lockDirectory(disk, '/m', dead)
      if (deadTaker) leaveTakeover(disk)
      machine.end(dead)
      let second: DirectoryLock | null = null
      disk.interrupt = () => {
        second = attempt(disk, machine.start(7))
      }
      disk.countdown = at
      const first = attempt(disk, machine.start(6))
      disk.countdown = Number.POSITIVE_INFINITY
      const holders = [first, second as DirectoryLock | null].filter((lock) => lock !== null)
      expect(holders.length, `interrupted at ${at}`).toBeLessThanOrEqual(1)
      got += holders.length
      for (const lock of holders) lock.release()
      expect(attempt(disk, machine.start(8)), 'nothing is left that blocks').not.toBeNull()
    }
    expect(got).toBeGreaterThan(8)
  })
})

test('a directory that is gone, or its lock, is given free without an error', () => {
  const disk = emptyDisk()
  const lock = lockDirectory(disk, '/m', new Machine().start(1))
  disk.removeSync('/m/lock')
  lock.release()
  expect(disk.listSync('/m')).toEqual([])
})

test('the lock works on the real disk', () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'dledger-lock-'))
  const machine = new Machine()
  const former = machine.start(11)
  lockDirectory(nodeDisk, directory, former)
  expect(() => lockDirectory(nodeDisk, directory, machine.start(12))).toThrow('process 11')
  machine.end(former)
  lockDirectory(nodeDisk, directory, machine.start(12)).release()
  expect(fs.readdirSync(directory)).toEqual([])
  fs.rmSync(directory, { recursive: true })
})

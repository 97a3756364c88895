import { describe, expect, it, test } from 'vitest'
import type { Disk, DiskCallback } from './disk.ts'
import { diskConformance } from './disk-conformance.ts'
import { Flusher } from './flusher.ts'
import { MemoryDisk } from './memory-disk.ts'

/** A disk whose syncs end when the test says so. */
class SlowDisk extends MemoryDisk {
  readonly syncing: { path: string; end: DiskCallback }[] = []

  override openSync(path: string, options: { readonly create: boolean }): ReturnType<Disk['openSync']> {
    const file = super.openSync(path, options)
    file.sync = (callback) => void this.syncing.push({ path, end: callback })
    return file
  }

  /** Ends the sync that has been under way for longest. */
  end(error: Error | null = null): void {
    this.syncing.shift()?.end(error)
  }
}

function setup(syncsAtOnce: number) {
  const disk = new SlowDisk()
  const shared = new Flusher({ syncsAtOnce, isUrgent: (path) => path === '/urgent' }).disk(disk)
  const told: string[] = []
  const open = (path: string) => shared.openSync(path, { create: true })
  const sync = (file: ReturnType<typeof open>, name: string): void =>
    file.sync((error) => told.push(error === null ? name : `${name}: ${error.message}`))
  return { disk, told, open, sync, underWay: () => disk.syncing.map(({ path }) => path) }
}

describe('a shared flusher', () => {
  diskConformance(test, () => {
    const disk = new MemoryDisk()
    disk.makeDirectorySync('/d')
    const shared = new Flusher({ syncsAtOnce: 1, isUrgent: () => false }).disk(disk)
    return { disk: shared, directory: '/d', dispose: () => {} }
  })

  it('syncs so many files at once and the others in the order in which they asked', () => {
    const { disk, told, open, sync, underWay } = setup(2)
    for (const path of ['/a', '/b', '/c', '/d']) sync(open(path), path)
    expect(underWay()).toEqual(['/a', '/b'])
    disk.end()
    expect(underWay()).toEqual(['/b', '/c'])
    disk.end()
    disk.end()
    disk.end()
    expect(told).toEqual(['/a', '/b', '/c', '/d'])
  })

  it('answers a request by a sync that began after it, and all that wait for a file by one', () => {
    const { disk, told, open, sync, underWay } = setup(4)
    const file = open('/a')
    sync(file, 'first')
    sync(file, 'second')
    sync(file, 'third')
    expect(underWay()).toEqual(['/a'])
    disk.end()
    expect(told).toEqual(['first'])
    expect(underWay()).toEqual(['/a'])
    disk.end()
    expect(told).toEqual(['first', 'second', 'third'])
    expect(underWay()).toEqual([])
  })

  it('syncs an urgent file before all that wait', () => {
    const { disk, told, open, sync } = setup(1)
    for (const path of ['/a', '/b', '/urgent']) sync(open(path), path)
    for (let i = 0; i < 3; i++) disk.end()
    expect(told).toEqual(['/a', '/urgent', '/b'])
  })

  it('tells a failure to those whose sync it was and to no other file', () => {
    const { disk, told, open, sync } = setup(1)
    sync(open('/a'), 'a')
    sync(open('/b'), 'b')
    disk.end(new Error('no'))
    disk.end()
    expect(told).toEqual(['a: no', 'b'])
  })

  it('closes no file whose sync has not ended', () => {
    const { disk, open, sync } = setup(1)
    const waiting = open('/b')
    sync(open('/a'), 'a')
    sync(waiting, 'b')
    expect(() => waiting.closeSync()).toThrow('nothing is under way')
    disk.end()
    disk.end()
    waiting.closeSync()
  })
})

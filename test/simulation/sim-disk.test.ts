/** What a simulated drive keeps and what it may lose. */
import { describe, expect, test } from 'vitest'
import { Decisions } from './decisions.ts'
import { EventQueue, type Process } from './sim-clock.ts'
import { SimDisk } from './sim-disk.ts'
import { SimDrive } from './sim-drive.ts'
import { type Inode, SECTOR_BYTES } from './sim-inode.ts'

const PATH = '/srv/file'

class Machine {
  readonly events = new EventQueue()
  readonly owner: Process = { id: 0, incarnation: 1, paused: false, heldBack: [] }
  readonly drive: SimDrive
  readonly errors: (Error | null)[] = []
  readonly told = (error: Error | null): void => void this.errors.push(error)

  constructor(seed: number) {
    this.drive = new SimDrive(0, new Decisions(seed))
  }

  get disk(): SimDisk {
    return new SimDisk({
      drive: this.drive,
      events: this.events,
      owner: this.owner,
      planted: new Set(),
      beforeEffect: () => {},
    })
  }

  run(): void {
    const untilUs = this.events.nowUs + 1e9
    for (let event = this.events.next(untilUs); event !== null; event = this.events.next(untilUs)) event.run?.()
  }

  die(death: 'kill' | 'power'): void {
    this.owner.incarnation++
    if (death === 'kill') this.drive.processKilled()
    else this.drive.powerLost()
  }

  /** The file's bytes as the next process reads them; null when there is no such file. */
  content(bytes: number) {
    if (!this.disk.existsSync(PATH)) return null
    const target = Buffer.alloc(bytes)
    const count = this.disk.openSync(PATH, { create: false }).readSync(target, 0)
    return target.subarray(0, count)
  }
}

const SEEDS = Array.from({ length: 50 }, (_, i) => i + 1)

describe('a killed process', () => {
  test('loses nothing that had reached the page cache', () => {
    const machine = new Machine(1)
    machine.disk.openSync(PATH, { create: true }).write([Buffer.from('ab'), Buffer.from('cd')], 0, machine.told)
    machine.run()
    machine.die('kill')
    expect(machine.content(9)?.toString()).toBe('abcd')
    expect(machine.errors).toEqual([null])
  })

  test('leaves all, nothing or a beginning of the write under way', () => {
    const seen = new Set<string | undefined>()
    for (const seed of SEEDS) {
      const machine = new Machine(seed)
      machine.disk.openSync(PATH, { create: true }).write([Buffer.from('abcd')], 0, machine.told)
      machine.die('kill')
      machine.run()
      expect(machine.errors).toEqual([])
      seen.add(machine.content(9)?.toString())
    }
    expect(seen.size).toBeGreaterThan(3)
    for (const content of seen) expect('abcd'.startsWith(content ?? '?')).toBe(true)
  })
})

describe('a power loss', () => {
  test('takes nothing that was synced, the name included', () => {
    for (const seed of SEEDS) {
      const machine = new Machine(seed)
      const file = machine.disk.openSync(PATH, { create: true })
      file.writeSync(Buffer.alloc(3 * SECTOR_BYTES, 1), 0)
      file.syncSync()
      machine.disk.syncDirectorySync('/srv')
      machine.die('power')
      expect(machine.content(5 * SECTOR_BYTES)).toEqual(Buffer.alloc(3 * SECTOR_BYTES, 1))
    }
  })

  test('may take an unsynced name, whatever was synced of the file', () => {
    const found = SEEDS.map((seed) => {
      const machine = new Machine(seed)
      const file = machine.disk.openSync(PATH, { create: true })
      file.writeSync(Buffer.from('abcd'), 0)
      file.syncSync()
      machine.die('power')
      return machine.content(9)?.toString() ?? null
    })
    expect(new Set(found)).toEqual(new Set([null, 'abcd']))
  })

  test('keeps, sector by sector, what some first writes made of it', () => {
    const sectors = 6
    let mixed = 0
    for (const seed of SEEDS) {
      const machine = new Machine(seed)
      const file = machine.disk.openSync(PATH, { create: true })
      file.writeSync(Buffer.alloc(sectors * SECTOR_BYTES, 1), 0)
      file.syncSync()
      machine.disk.syncDirectorySync('/srv')
      file.writeSync(Buffer.alloc(sectors * SECTOR_BYTES, 2), 0)
      file.writeSync(Buffer.alloc(sectors * SECTOR_BYTES, 3), 0)
      machine.die('power')
      const content = machine.content(sectors * SECTOR_BYTES) as Buffer
      const values = new Set<number>()
      for (let sector = 0; sector < sectors; sector++) {
        const bytes = content.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES)
        expect([1, 2, 3]).toContain(bytes[0])
        expect(bytes.every((byte) => byte === bytes[0])).toBe(true)
        values.add(bytes[0] as number)
      }
      if (values.size > 1) mixed++
    }
    expect(mixed).toBeGreaterThan(5)
  })

  test('keeps of a sync under way no promise, of a later write none at all', () => {
    const seen = new Set<string>()
    for (const seed of SEEDS) {
      const machine = new Machine(seed)
      const file = machine.disk.openSync(PATH, { create: true })
      machine.disk.syncDirectorySync('/srv')
      file.write([Buffer.from('ab')], 0, machine.told)
      machine.run()
      file.sync(machine.told)
      file.writeSync(Buffer.from('XY'), 0)
      machine.run()
      expect(machine.errors).toEqual([null, null])
      machine.die('power')
      seen.add(machine.content(2)?.toString() ?? '')
    }
    expect(seen).toEqual(new Set(['ab', 'XY']))
  })

  test('undoes a cut together with what was written after it, or keeps the cut', () => {
    const seen = new Set<string>()
    for (const seed of SEEDS) {
      const machine = new Machine(seed)
      const file = machine.disk.openSync(PATH, { create: true })
      machine.disk.syncDirectorySync('/srv')
      file.writeSync(Buffer.from('old'), SECTOR_BYTES)
      file.syncSync()
      file.truncateSync(SECTOR_BYTES)
      file.truncateSync(2 * SECTOR_BYTES)
      file.writeSync(Buffer.from('new'), SECTOR_BYTES)
      machine.die('power')
      const content = machine.content(2 * SECTOR_BYTES) as Buffer
      seen.add(
        content
          .subarray(SECTOR_BYTES, SECTOR_BYTES + 3)
          .toString()
          .replaceAll('\0', ''),
      )
    }
    expect(seen).toEqual(new Set(['old', 'new', '']))
  })
})

describe('a planted error', () => {
  /** Three writes, the second of which fails, and then a sync. */
  function afterFailing(kind: 'write' | 'full') {
    const machine = new Machine(1)
    const file = machine.disk.openSync(PATH, { create: true })
    machine.drive.plantError(kind, 1)
    for (const text of ['a', 'b', 'c']) file.write([Buffer.from(text)], 0, machine.told)
    machine.run()
    file.sync(machine.told)
    machine.run()
    return { machine, file }
  }

  test('fails everything on that file from then on, with the first error', () => {
    const { machine, file } = afterFailing('write')
    expect(machine.errors.filter((error) => error === null)).toHaveLength(1)
    expect(new Set(machine.errors.map((error) => error?.message))).toEqual(
      new Set([undefined, 'EIO: i/o error, write']),
    )
    expect(() => file.writeSync(Buffer.from('d'), 0)).toThrow('EIO')
  })

  test('of room is that of one write: the next one may find some', () => {
    const { machine } = afterFailing('full')
    expect(machine.errors.map((error) => error?.message ?? null)).toContain('ENOSPC: no space left on device, write')
    expect(machine.errors.filter((error) => error === null)).toHaveLength(3)
  })

  test('of a sync leaves the pages readable and never writes them', () => {
    const machine = new Machine(1)
    const file = machine.disk.openSync(PATH, { create: true })
    machine.disk.syncDirectorySync('/srv')
    file.writeSync(Buffer.from('ab'), 0)
    machine.drive.plantError('sync', 0)
    expect(() => file.syncSync()).toThrow('EIO')
    const again = machine.disk.openSync(PATH, { create: false })
    again.syncSync()
    expect(machine.content(2)?.toString()).toBe('ab')
    machine.die('power')
    expect(machine.content(2)?.toString()).toBe('')
  })
})

describe('a read', () => {
  function written(...texts: readonly string[]) {
    const machine = new Machine(1)
    machine.drive.keepsFormer = true
    const file = machine.disk.openSync(PATH, { create: true })
    machine.disk.syncDirectorySync('/srv')
    for (const text of texts) {
      file.writeSync(Buffer.from(text), 0)
      file.syncSync()
    }
    const inode = machine.drive.names.get(PATH)
    if (inode === undefined || inode === 'directory') throw new Error('the file is there')
    return { machine, file, inode }
  }

  test('that fails poisons nothing', () => {
    const { machine, file } = written('ab')
    machine.drive.plantReadError(1)
    expect(machine.content(2)?.toString()).toBe('ab')
    expect(() => file.readSync(Buffer.alloc(2), 0)).toThrow('EIO: i/o error, read')
    file.writeSync(Buffer.from('cd'), 0)
    expect(machine.content(2)?.toString()).toBe('cd')
    expect(machine.drive.errorsGiven).toBe(1)
  })

  test('that fails tells so, also later, and only where it touches what cannot be read', () => {
    const { machine, file, inode } = written('abcd')
    machine.drive.makeUnreadable(inode, 2, 3)
    expect(machine.content(2)?.toString()).toBe('ab')
    file.read(Buffer.alloc(3), 0, machine.told)
    machine.run()
    expect(machine.errors[0]).toMatchObject({ code: 'EIO' })
    machine.drive.makeReadable()
    expect(machine.content(4)?.toString()).toBe('abcd')
  })

  test('gives other bytes but once, and none where they were written over', () => {
    const { machine, file, inode } = written('ab')
    inode.spoilOnce(1, 0x78)
    expect(machine.content(1)?.toString()).toBe('a')
    expect(machine.content(2)?.toString()).toBe('ax')
    expect(machine.content(2)?.toString()).toBe('ab')
    inode.spoilOnce(1, 0x78)
    file.writeSync(Buffer.from('cd'), 0)
    expect(machine.content(2)?.toString()).toBe('cd')
  })

  const former = (inode: Inode): (string | undefined)[] =>
    [0, 1, 2, 3].map((at) =>
      inode
        .formerSector(1, () => at)
        ?.subarray(0, 2)
        .toString(),
    )

  test('can be told what a sector held before it was written over', () => {
    const { inode } = written('ab', 'cd', 'ef')
    expect(former(inode)).toEqual(['\0\0', 'ab', 'cd', undefined])
  })

  test('which is only what had reached it', () => {
    const { file, inode } = written('ab')
    file.writeSync(Buffer.from('cd'), 0)
    file.writeSync(Buffer.from('ef'), 0)
    expect(former(inode)).toEqual(['\0\0', undefined, undefined, undefined])
  })
})

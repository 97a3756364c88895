/**
 * What every `Disk` does, as one suite: the real one, the one in memory and the simulator's run it.
 */
import assert from 'node:assert/strict'
import {
  closeFile,
  listDirectory,
  makeDirectory,
  openFile,
  removeDirectory,
  removeFile,
  truncateFile,
  writeQuickly,
} from './background.ts'
import { type Disk, type DiskCallback, type DiskFile, isMissing } from './disk.ts'

export interface DiskUnderTest {
  readonly disk: Disk
  /** An empty directory that exists. */
  readonly directory: string
  /** Lets operations that were started complete; a simulated disk runs its events here. */
  readonly run?: () => void
  readonly dispose: () => void
}
export type DefineTest = (name: string, body: () => Promise<void>) => void

export function diskConformance(define: DefineTest, make: () => DiskUnderTest): void {
  const test = (name: string, body: (under: Subject) => Promise<void>): void =>
    define(name, async () => {
      const under = make()
      try {
        await body(new Subject(under))
      } finally {
        under.dispose()
      }
    })

  test('a file is made only when asked for', async ({ disk, path }) => {
    assert.throws(() => disk.openSync(path, { create: false }))
    assert.equal(disk.existsSync(path), false)
    disk.openSync(path, { create: true }).closeSync()
    assert.equal(disk.existsSync(path), true)
    disk.openSync(path, { create: false, readOnly: true }).closeSync()
  })

  test('buffers are written one behind another and read back', async (under) => {
    const file = under.open()
    await under.written(file, [Buffer.from('ab'), Buffer.from(''), Buffer.from('cde')], 3)
    assert.equal(file.sizeSync(), 8)
    assert.deepEqual(await under.read(file, 8, 0), Buffer.from('\0\0\0abcde'))
    const target = Buffer.alloc(3)
    assert.equal(file.readSync(target, 4), 3)
    assert.equal(target.toString(), 'bcd')
    file.closeSync()
  })

  test('tells how full it is, and when a file was last written', async (under) => {
    const percent = under.disk.usedPercentSync(under.directory)
    assert.ok(Number.isInteger(percent) && percent >= 0 && percent <= 100)
    const file = under.open()
    await under.written(file, [Buffer.from('x')], 0)
    assert.ok(file.modifiedMsSync() > 0)
    file.closeSync()
  })

  test('what is written quickly is written as anything else', async (under) => {
    const file = under.open()
    let isInside = true
    const small = under.all(3, (done) => {
      const callback = (error: Error | null): void => {
        assert.equal(isInside, false)
        done(error)
      }
      writeQuickly(file, [Buffer.from('ab')], 1, callback)
      writeQuickly(file, [Buffer.from('cd'), Buffer.from(''), Buffer.from('e')], 3, callback)
      writeQuickly(file, [Buffer.alloc(1 << 20, 'x')], 6, callback)
      isInside = false
    })
    await small
    assert.equal(file.sizeSync(), 6 + (1 << 20))
    assert.deepEqual(await under.read(file, 8, 0), Buffer.from('\0abcdexx'))
    file.closeSync()
  })

  test('many buffers are one write', async (under) => {
    const file = under.open()
    const buffers = Array.from({ length: 1500 }, (_, i) => Buffer.from([i & 0xff, i >> 8]))
    await under.written(file, buffers, 0)
    assert.deepEqual(await under.read(file, 3000, 0), Buffer.concat(buffers))
    file.closeSync()
  })

  test('a read gives fewer bytes only at the end of the file', async (under) => {
    const file = under.open()
    file.writeSync(Buffer.from('hello'), 0)
    assert.deepEqual(await under.read(file, 10, 2), Buffer.from('llo'))
    assert.deepEqual(await under.read(file, 10, 5), Buffer.alloc(0))
    assert.deepEqual(await under.read(file, 10, 50), Buffer.alloc(0))
    assert.equal(file.readSync(Buffer.alloc(4), 4), 1)
    assert.equal(file.readSync(Buffer.alloc(4), 9), 0)
    file.closeSync()
  })

  test('callbacks never run from within the call', async (under) => {
    const file = under.open()
    let inside = true
    const calls = under.all(3, (done) => {
      const callback = (): void => {
        assert.equal(inside, false)
        done()
      }
      file.write([Buffer.from('x')], 0, callback)
      file.sync(callback)
      file.read(Buffer.alloc(1), 0, callback)
      inside = false
    })
    await calls
    file.closeSync()
  })

  test('writes that overlap in time all happen', async (under) => {
    const file = under.open()
    await under.all(50, (done) => {
      for (let i = 0; i < 50; i++) file.write([Buffer.alloc(10, i)], i * 10, (error) => done(error))
    })
    const expected = Buffer.concat(Array.from({ length: 50 }, (_, i) => Buffer.alloc(10, i)))
    assert.deepEqual(await under.read(file, 500, 0), expected)
    file.closeSync()
  })

  test('a file grows with zeros and is cut', async (under) => {
    const file = under.open()
    file.truncateSync(5000)
    assert.equal(file.sizeSync(), 5000)
    assert.deepEqual(await under.read(file, 6000, 0), Buffer.alloc(5000))
    await under.written(file, [Buffer.alloc(100, 7)], 4000)
    assert.equal(file.sizeSync(), 5000)
    file.truncateSync(4050)
    file.truncateSync(5000)
    const rest = await under.read(file, 1000, 4000)
    assert.deepEqual(rest, Buffer.concat([Buffer.alloc(50, 7), Buffer.alloc(950)]))
    file.syncSync()
    file.closeSync()
  })

  test('a sync succeeds, also with nothing to do', async (under) => {
    const file = under.open()
    await under.synced(file)
    await under.written(file, [Buffer.from('x')], 0)
    await under.synced(file)
    await under.synced(file)
    file.closeSync()
  })

  test('directories list the names in them, sorted', async ({ disk, directory }) => {
    assert.deepEqual(disk.listSync(`${directory}/none`), [])
    disk.makeDirectorySync(`${directory}/a/b`)
    disk.makeDirectorySync(`${directory}/a/b`)
    for (const name of ['2', '10', '1']) disk.openSync(`${directory}/a/b/${name}`, { create: true }).closeSync()
    assert.deepEqual(disk.listSync(`${directory}/a/b`), ['1', '10', '2'])
    assert.deepEqual(disk.listSync(`${directory}/a`), ['b'])
    disk.syncDirectorySync(`${directory}/a/b`)
    disk.removeSync(`${directory}/a/b/10`)
    assert.deepEqual(disk.listSync(`${directory}/a/b`), ['1', '2'])
    assert.throws(() => disk.removeSync(`${directory}/a/b/10`))
  })

  test('a rename replaces what had the name', async ({ disk, directory }) => {
    const write = (name: string): void => {
      const file = disk.openSync(`${directory}/${name}`, { create: true })
      file.writeSync(Buffer.from(name), 0)
      file.closeSync()
    }
    write('old')
    write('new')
    disk.renameSync(`${directory}/new`, `${directory}/old`)
    assert.deepEqual(disk.listSync(directory), ['old'])
    const file = disk.openSync(`${directory}/old`, { create: false })
    const content = Buffer.alloc(3)
    file.readSync(content, 0)
    assert.equal(content.toString(), 'new')
    file.closeSync()
  })

  test('a directory is renamed with all that is in it', async ({ disk, directory }) => {
    disk.makeDirectorySync(`${directory}/a/b`)
    const file = disk.openSync(`${directory}/a/b/file`, { create: true })
    file.writeSync(Buffer.from('moved'), 0)
    disk.renameSync(`${directory}/a`, `${directory}/c`)
    assert.equal(disk.existsSync(`${directory}/a`), false)
    assert.deepEqual(disk.listSync(`${directory}/c/b`), ['file'])
    assert.equal(file.sizeSync(), 5)
    file.closeSync()
    assert.throws(() => disk.renameSync(`${directory}/a`, `${directory}/d`))
  })

  test('names are made, found and removed without waiting', async (under) => {
    const { disk, directory } = under
    const below = `${directory}/x/y`
    await under.one((done) => makeDirectory(disk, below, done))
    await under.one((done) => makeDirectory(disk, below, done))
    const path = `${below}/file`
    assert.ok(isMissing(await under.failure((done) => openFile(disk, path, { create: false }, done))))
    const file = await under.opened(path)
    await under.one((done) => truncateFile(file, 100, done))
    assert.equal(file.sizeSync(), 100)
    await under.written(file, [Buffer.from('here')], 50)
    assert.equal((await under.read(file, 4, 50)).toString(), 'here')
    await under.one((done) => closeFile(file, done))
    const names = (at: string): Promise<readonly string[]> =>
      new Promise((resolve) => {
        listDirectory(disk, at, (_error, found) => resolve(found))
        under.run()
      })
    assert.deepEqual(await names(below), ['file'])
    assert.deepEqual(await names(`${directory}/none`), [])
    await under.one((done) => removeFile(disk, path, done))
    assert.ok(isMissing(await under.failure((done) => removeFile(disk, path, done))))
    assert.deepEqual(await names(below), [])
    await under.one((done) => removeDirectory(disk, below, done))
    if (disk.background !== undefined) assert.equal(disk.existsSync(below), false)
  })

  test('an open file stays readable when its name is removed', async (under) => {
    const file = under.open()
    await under.written(file, [Buffer.from('still here')], 0)
    under.disk.removeSync(under.path)
    const again = under.open()
    assert.equal(again.sizeSync(), 0)
    again.closeSync()
    assert.equal((await under.read(file, 10, 0)).toString(), 'still here')
    file.closeSync()
  })

  test('only one of two makes a file exclusively', async ({ disk, path, directory }) => {
    assert.equal(disk.createExclusiveSync(path, 'first'), null)
    assert.equal(disk.createExclusiveSync(path, 'second'), 'first')
    disk.removeSync(path)
    assert.equal(disk.createExclusiveSync(path, 'third'), null)
    assert.equal(disk.createExclusiveSync(path, 'fourth'), 'third')
    assert.equal(disk.listSync(directory).length, 1)
  })
}

/** The disk under test with what it takes to wait for it. */
class Subject {
  readonly disk: Disk
  readonly directory: string
  readonly path: string
  readonly run: () => void

  constructor(under: DiskUnderTest) {
    this.disk = under.disk
    this.directory = under.directory
    this.path = `${under.directory}/file`
    this.run = under.run ?? (() => {})
  }

  open(): DiskFile {
    return this.disk.openSync(this.path, { create: true })
  }

  /** Starts operations and waits until `count` of them have called `done`. */
  all(count: number, start: (done: (error?: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      start((error) => {
        if (error !== null && error !== undefined) return reject(error)
        count--
        if (count === 0) resolve()
      })
      this.run()
    })
  }

  one(start: (done: DiskCallback) => void): Promise<void> {
    return this.all(1, start)
  }

  opened(path: string): Promise<DiskFile> {
    return new Promise((resolve, reject) => {
      openFile(this.disk, path, { create: true }, (error, file) => {
        if (file === null) reject(error ?? new Error('no file'))
        else resolve(file)
      })
      this.run()
    })
  }

  /** @returns what an operation fails with. */
  failure(start: (done: DiskCallback) => void): Promise<Error> {
    return new Promise((resolve, reject) => {
      start((error) => {
        if (error === null) reject(new Error('it was to fail'))
        else resolve(error)
      })
      this.run()
    })
  }

  written(file: DiskFile, buffers: readonly Buffer[], at: number): Promise<void> {
    return this.all(1, (done) => file.write(buffers, at, done))
  }

  synced(file: DiskFile): Promise<void> {
    return this.all(1, (done) => file.sync(done))
  }

  async read(file: DiskFile, bytes: number, at: number): Promise<Buffer> {
    const target = Buffer.alloc(bytes)
    let read = 0
    await this.all(1, (done) =>
      file.read(target, at, (error, count) => {
        read = count
        done(error)
      }),
    )
    return target.subarray(0, read)
  }
}

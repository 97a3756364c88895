/** Directories of Apache's DLedger: what is taken over, what is refused, crashes meanwhile, and a group of three that goes on. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { systemClock } from '@dledger-ts/base'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DLedger } from '../dledger.ts'
import type { DLedgerOptions } from '../dledger-options.ts'
import type { Disk, DiskFile } from '../disk/disk.ts'
import { MemoryDisk } from '../disk/memory-disk.ts'
import { nodeDisk } from '../disk/node-disk.ts'
import { type HardState, HardStateFile } from '../hard-state/hard-state-file.ts'
import { append, batchAfter, openLog, TempDirectory } from '../log/log-fixture.ts'
import { MemoryNetwork, MemoryTransport } from '../transport/memory.ts'
import { parseTermFile } from './apache-directory.ts'

const vectors = new URL('../../../../test/vectors/dledger-store/', import.meta.url)
const FILE_BYTES = 65_536
const LAST_INDEX = 179
const fast = { tickMs: 10, heartbeatMs: 20, electionTimeoutMs: 100, zeroFillBytes: 0 }

let temp: TempDirectory
const open: DLedger[] = []
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((member) => member.close()))
  temp.remove()
})

/** As RocketMQ 5.5 left it: term 3, its vote for n1. */
function unpack(member: 'n0' | 'n1', to: string): string {
  const archive = new URL(`${member}.tar.gz`, vectors).pathname
  const inside = `store/dledger-${member}`
  const files = ['data', 'index', 'currterm', 'currterm.bak', 'checkpoint'].map((name) => `${inside}/${name}`)
  execFileSync('tar', ['-xzf', archive, '-C', temp.path, ...files])
  const directory = path.join(temp.path, to)
  fs.renameSync(path.join(temp.path, inside), directory)
  return directory
}

function join(self: string, peers: readonly string[], network = new MemoryNetwork(systemClock)): MemoryTransport {
  return new MemoryTransport({ self, network, clock: systemClock, peers })
}

async function openMember(directory: string, options: Partial<DLedgerOptions> = {}): Promise<DLedger> {
  const member = await DLedger.open({ directory, fileBytes: FILE_BYTES, ...fast, ...options })
  open.push(member)
  return member
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function hardStateOf(directory: string, disk: Disk): HardState {
  const file = HardStateFile.openSync(disk, `${directory}/hard-state`)
  if (file === null) throw new Error('no hard state')
  file.closeSync()
  return file.state
}

test.each([
  { name: 'as Java writes it', text: 'voteLeader=n1\ncurrTerm=3\n', found: { term: 3, votedFor: 'n1' } },
  { name: 'no vote', text: 'voteLeader=\ncurrTerm=3\n', found: { term: 3, votedFor: null } },
  { name: 'a term alone', text: 'currTerm=7', found: { term: 7, votedFor: null } },
  { name: 'comments, spaces, line ends', text: '#x\r\n currTerm : 12 \r\n', found: { term: 12, votedFor: null } },
  { name: 'a key twice', text: 'currTerm=1\ncurrTerm=2\n', found: { term: 2, votedFor: null } },
  { name: 'nothing', text: '', found: null },
  { name: 'a vote alone', text: 'voteLeader=n1\n', found: null },
  { name: 'a negative term', text: 'currTerm=-1\n', found: null },
  { name: 'a term that is no number', text: 'currTerm=3x\n', found: null },
  { name: 'a term beyond counting', text: 'currTerm=99999999999999999999\n', found: null },
  { name: 'zeros, as a power cut leaves them', text: '\0'.repeat(25), found: null },
])('currterm with $name', ({ text, found }) => {
  expect(parseTermFile(text)).toEqual(found)
})

test('term and vote are taken over once, old entries count as unchecked, new ones carry checksums', async () => {
  const directory = unpack('n0', 'n0')
  const member = await openMember(directory, { self: 'n0', group: 'RaftNode00' })
  await member.append(Buffer.from('new'))
  const { term } = member.status()
  expect(term).toBe(4)
  await member.close()
  const known = hardStateOf(directory, nodeDisk)
  expect(known).toMatchObject({ group: 'RaftNode00', member: 'n0', term: 4, votedFor: 'n0' })
  expect(known.checksummedFrom).toBe(LAST_INDEX + 1)
  expect(fs.readdirSync(directory).filter((name) => name.startsWith('currterm'))).toEqual([
    'currterm.bak',
    'currterm.taken',
  ])
  // A currterm that comes back from a backup is not heard any more.
  fs.writeFileSync(path.join(directory, 'currterm'), 'currTerm=900\n')
  const again = await openMember(directory, { self: 'n0', group: 'RaftNode00' })
  expect(again.status().term).toBe(5)
  const bodies: string[] = []
  for await (const entry of again.entries({ from: LAST_INDEX + 1 })) bodies.push(entry.body.toString())
  expect(bodies).toEqual(['new'])
})

const refusals: { name: string; change: (directory: string) => void; why: RegExp }[] = [
  {
    name: 'without currterm: the line says what to do',
    change: (directory) => fs.rmSync(path.join(directory, 'currterm')),
    why: /no currterm: its term and vote are unknown, so it may not vote.*write currterm there with one line, currTerm=N/,
  },
  {
    name: 'with a currterm that cannot be read',
    change: (directory) => fs.writeFileSync(path.join(directory, 'currterm'), Buffer.alloc(25)),
    why: /holds currterm of Apache's DLedger, which cannot be read/,
  },
  {
    name: 'with a currterm older than its entries',
    change: (directory) => fs.writeFileSync(path.join(directory, 'currterm'), 'currTerm=2\nvoteLeader=n0\n'),
    why: /has entries of term 3, but its currterm says 2/,
  },
  {
    name: 'with files smaller than the setting',
    change: (directory) => {
      for (const name of fs.readdirSync(path.join(directory, 'data')).slice(1))
        fs.rmSync(path.join(directory, 'data', name))
      fs.truncateSync(path.join(directory, 'data', '0'.repeat(20)), FILE_BYTES / 2)
    },
    why: /data\/0+ has 32768 bytes, the configuration says files of 65536/,
  },
]
test.each(refusals)('a directory $name, is refused and stays as it is', async ({ change, why }) => {
  const directory = unpack('n0', 'n0')
  change(directory)
  const before = fs.readdirSync(directory)
  expect(() => DLedger.check({ directory, fileBytes: FILE_BYTES })).toThrow(why)
  await expect(openMember(directory)).rejects.toThrow(why)
  expect(fs.readdirSync(directory)).toEqual(before)
})

test('a member that voted before it had any entry keeps its vote', async () => {
  const directory = path.join(temp.path, 'n2')
  fs.mkdirSync(directory)
  // A crash came between removing the old file and renaming the new one to its name.
  fs.writeFileSync(path.join(directory, 'currterm.tmp'), 'currTerm=6\nvoteLeader=n1\n')
  const members = ['n0', 'n1', 'n2']
  await openMember(directory, { self: 'n2', members, transport: join('n2', members) })
  expect(hardStateOf(directory, nodeDisk)).toMatchObject({ term: 6, votedFor: 'n1', checksummedFrom: 0 })
})

test('our own log without its hard state is not taken for one of Apache', async () => {
  const directory = unpack('n0', 'n0')
  const member = await openMember(directory)
  await member.append(Buffer.from('x'))
  await member.close()
  fs.rmSync(path.join(directory, 'hard-state'))
  await expect(openMember(directory)).rejects.toThrow(/holds log files .* but no hard state/)
  fs.renameSync(path.join(directory, 'currterm.taken'), path.join(directory, 'currterm'))
  await expect(openMember(directory)).rejects.toThrow(/corrupt|were written by this program/)
})

/** Throws at the `crashAt`th synchronous change of the disk and at all that follow, as if the process had been killed there. */
function crashing(memory: MemoryDisk, crashAt: number): { disk: Disk; heal: () => void } {
  let changes = 0
  let healed = false
  const change = <Result>(work: () => Result): Result => {
    changes++
    if (changes >= crashAt && !healed) throw new Error('killed')
    return work()
  }
  const fileOf = (file: DiskFile): DiskFile => ({
    path: file.path,
    write: (buffers, at, callback) => file.write(buffers, at, callback),
    read: (target, at, callback) => file.read(target, at, callback),
    sync: (callback) => file.sync(callback),
    writeSync: (bytes, at) => change(() => file.writeSync(bytes, at)),
    readSync: (target, at) => file.readSync(target, at),
    syncSync: () => change(() => file.syncSync()),
    sizeSync: () => file.sizeSync(),
    modifiedMsSync: () => file.modifiedMsSync(),
    truncateSync: (size) => change(() => file.truncateSync(size)),
    closeSync: () => file.closeSync(),
  })
  const disk: Disk = {
    openSync: (at, options) =>
      fileOf(options.create ? change(() => memory.openSync(at, options)) : memory.openSync(at, options)),
    existsSync: (at) => memory.existsSync(at),
    listSync: (at) => memory.listSync(at),
    makeDirectorySync: (at) => change(() => memory.makeDirectorySync(at)),
    removeSync: (at) => change(() => memory.removeSync(at)),
    renameSync: (from, to) => change(() => memory.renameSync(from, to)),
    freeBytesSync: () => Number.POSITIVE_INFINITY,
    usedPercentSync: () => 0,
    syncDirectorySync: (at) => change(() => memory.syncDirectorySync(at)),
    createExclusiveSync: (at, content) => change(() => memory.createExclusiveSync(at, content)),
  }
  const heal = (): void => {
    healed = true
  }
  return { disk, heal }
}

/** Two entries of term 5 without checksums and a torn third one. */
async function smallApacheDirectory(disk: MemoryDisk): Promise<void> {
  disk.makeDirectorySync('/n0')
  const log = openLog('/n0', { disk })
  const batch = batchAfter(log, 5, [{ bodyBytes: 100 }, { bodyBytes: 200 }, { bodyBytes: 300 }])
  let at = 0
  for (const size of batch.sizes) {
    batch.bytes.fill(0, at + 36, at + 44)
    at += size
  }
  await append(log, batch)
  log.close()
  const data = disk.openSync(`/n0/data/${'0'.repeat(20)}`, { create: false })
  data.writeSync(Buffer.alloc(300), 148 + 248)
  data.closeSync()
  const term = disk.openSync('/n0/currterm', { create: true })
  term.writeSync(Buffer.from('voteLeader=n1\ncurrTerm=8\n'), 0)
  term.closeSync()
}

test('a crash at any step of the takeover leaves a directory that is taken over with the same term and vote', async () => {
  const options = { directory: '/n0', fileBytes: 1024, indexFileBytes: 512, members: ['n0', 'n1'], ...fast }
  let crashes = 0
  for (let crashAt = 1; ; crashAt++) {
    const disk = new MemoryDisk()
    await smallApacheDirectory(disk)
    const { disk: doomed, heal } = crashing(disk, crashAt)
    const first = await DLedger.open({ ...options, disk: doomed, transport: join('n0', ['n0', 'n1']) }).catch(
      (error: Error) => error,
    )
    heal()
    if (!(first instanceof Error)) {
      await first.close()
      break
    }
    crashes++
    disk.restore(disk.image())
    if (disk.existsSync('/n0/lock')) disk.removeSync('/n0/lock')
    const second = await DLedger.open({ ...options, disk, transport: join('n0', ['n0', 'n1']) })
    const known = hardStateOf('/n0', disk)
    expect({ crashAt, term: known.term, votedFor: known.votedFor, from: known.checksummedFrom }).toEqual({
      crashAt,
      term: 8,
      votedFor: 'n1',
      from: 2,
    })
    expect({ crashAt, last: second.lastIndex }).toEqual({ crashAt, last: 1 })
    await second.close()
  }
  expect(crashes).toBeGreaterThan(10)
})

test('three members of an Apache group go on together, one of them behind and one of them new', async () => {
  const ids = ['n0', 'n1', 'n2', 'n3']
  const behind = unpack('n0', 'behind')
  // It missed what the newest file holds.
  fs.rmSync(path.join(behind, 'data', '00000000000000327680'))
  const directories = [unpack('n0', 'n0'), unpack('n1', 'n1'), behind, path.join(temp.path, 'n3')]
  const network = new MemoryNetwork(systemClock)
  const members = await Promise.all(
    ids.map((self, i) =>
      openMember(directories[i] as string, {
        self,
        members: ids,
        group: 'RaftNode00',
        transport: join(self, ids, network),
      }),
    ),
  )
  await until('a leader', () => members.some((member) => member.status().ready))
  const leader = members.find((member) => member.status().ready) as DLedger
  expect(['n0', 'n1']).toContain(leader.status().self)
  await leader.append(Array.from({ length: 200 }, (_, i) => Buffer.from(`${i}:${'x'.repeat(700)}`)))
  await until('all have all', () => members.every((member) => member.appliedIndex === leader.lastIndex))
  const { lastIndex } = leader
  await Promise.all(open.splice(0).map((member) => member.close()))
  const names = fs.readdirSync(path.join(directories[0] as string, 'data'))
  expect(names.length).toBeGreaterThan(6)
  for (const directory of directories.slice(1)) {
    expect(fs.readdirSync(path.join(directory, 'data'))).toEqual(names)
    for (const name of names) {
      const file = (of: string): Buffer => fs.readFileSync(path.join(of, 'data', name))
      expect({ name, same: file(directory).equals(file(directories[0] as string)) }).toEqual({ name, same: true })
    }
  }
  // What was taken without checksums is known to be so by the hard state.
  const group = 'RaftNode00'
  const again = await openMember(directories[3] as string, {
    self: 'n3',
    members: ids,
    group,
    transport: join('n3', ids),
  })
  expect(again.lastIndex).toBe(lastIndex)
})

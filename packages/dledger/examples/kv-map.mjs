/**
 * A key-value map on three members, over TCP on loopback: written through the leader, read from any member as fresh as from the
 * leader. The map is kept in a checkpoint, so that a start reads only what came later, and it can be handed whole to a member for
 * which the log does not reach back far enough.
 *
 *   node kv-map.mjs DIRECTORY [PORT,PORT,PORT]
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { silentLogger, systemClock } from '@dledger-ts/base'
import { DLedger, TcpTransport } from '@dledger-ts/dledger'

const directory = process.argv[2] ?? './kv-map'
const ports = (process.argv[3] ?? '40961,40962,40963').split(',').map(Number)
const peers = ports.map((port, i) => ({ id: `n${i}`, host: '127.0.0.1', port }))

/** The state: the map, and up to which entry it is applied. */
class KvMap {
  appliedIndex = -1
  checkpointIndex = -1
  #map = new Map()
  #path
  #checkpointEvery = 100

  constructor(path) {
    this.#path = path
    if (existsSync(path)) this.#load(readFileSync(path))
  }

  get(key) {
    return this.#map.get(key)
  }

  get size() {
    return this.#map.size
  }

  apply(entries) {
    for (const entry of entries) {
      if (entry.kind === 'data') {
        const { key, value } = JSON.parse(entry.body.toString())
        if (value === null) this.#map.delete(key)
        else this.#map.set(key, value)
      }
      this.appliedIndex = entry.index
    }
  }

  /** What is in the checkpoint must be in the log for good, too: so it is written only when all that is applied is synced. */
  durable(index) {
    if (index !== this.appliedIndex || index < this.checkpointIndex + this.#checkpointEvery) return
    this.#save(this.#bytes())
    this.checkpointIndex = index
  }

  discard() {
    this.#map.clear()
    this.appliedIndex = -1
    this.checkpointIndex = -1
  }

  roleChanged() {}

  openSnapshot(callback) {
    const bytes = this.#bytes()
    callback(null, {
      index: this.appliedIndex,
      bytes: bytes.length,
      id: null,
      read: (at, bytesMax, done) => setImmediate(done, null, bytes.subarray(at, at + bytesMax)),
      close: () => {},
    })
  }

  restore() {
    const pieces = []
    return {
      write: (bytes, done) => {
        pieces.push(Buffer.from(bytes))
        setImmediate(done, null)
      },
      commit: (done) => {
        const bytes = Buffer.concat(pieces)
        this.#save(bytes)
        this.#load(bytes)
        setImmediate(done, null)
      },
      abort: () => {},
    }
  }

  #bytes() {
    return Buffer.from(JSON.stringify({ index: this.appliedIndex, entries: [...this.#map] }))
  }

  #load(bytes) {
    const { index, entries } = JSON.parse(bytes.toString())
    this.#map = new Map(entries)
    this.appliedIndex = index
    this.checkpointIndex = index
  }

  /** Whole or not at all, also when the power fails. */
  #save(bytes) {
    mkdirSync(dirname(this.#path), { recursive: true })
    writeFileSync(`${this.#path}.new`, bytes, { flush: true })
    renameSync(`${this.#path}.new`, this.#path)
    const parent = openSync(dirname(this.#path), 'r')
    fsyncSync(parent)
    closeSync(parent)
  }
}

class Member {
  static async open(i) {
    const self = `n${i}`
    const map = new KvMap(join(directory, self, 'map.json'))
    const log = await DLedger.open({
      directory: join(directory, self, 'log'),
      group: 'kv',
      self,
      members: peers.map((peer) => peer.id),
      transport: new TcpTransport({
        self,
        listenHost: '127.0.0.1',
        listenPort: ports[i],
        peers,
        clock: systemClock,
        logger: silentLogger,
      }),
      stateMachine: map,
      fileBytes: 64 * 1024,
      indexFileBytes: 32 * 1024,
      zeroFillBytes: 0,
    })
    return new Member(self, log, map)
  }

  constructor(self, log, map) {
    this.self = self
    this.log = log
    this.map = map
  }

  /** Resolves when a majority has it for good. Leader only. */
  async set(key, value) {
    await this.log.append(Buffer.from(JSON.stringify({ key, value })))
  }

  /** Sees everything that was set before, on whichever member this is. */
  async get(key) {
    for await (const { leader } of this.log.statuses()) {
      if (leader === null) continue
      try {
        await this.log.readIndex()
        return this.map.get(key)
      } catch (error) {
        // The leader changed, or this member has just been given a new log: nothing is lost by asking again.
        if (error.code !== 'NOT_LEADER') throw error
      }
    }
  }
}

async function leaderOf(members) {
  const watches = members.map(async (member) => {
    for await (const status of member.log.statuses()) if (status.ready) return member
    throw new Error('closed')
  })
  return Promise.any(watches)
}

const members = await Promise.all([0, 1, 2].map((i) => Member.open(i)))
const leader = await leaderOf(members)
const follower = members.find((member) => member !== leader)
await leader.set('colour', 'green')
console.log(`${leader.self} set it, ${follower.self} reads ${await follower.get('colour')}`)

// A member goes, a lot is written, the log forgets the beginning of it, and the member comes back: it is given the map.
const away = members.find((member) => member !== leader && member !== follower)
await away.log.close()
for (let round = 0; round < 20; round++) {
  await Promise.all(Array.from({ length: 100 }, (_, i) => leader.set(`key ${i}`, `${round}`.repeat(50))))
}
await leader.set('colour', 'blue')
await leader.log.trimBefore(leader.log.commitIndex)
for await (const { firstIndex } of leader.log.statuses()) if (firstIndex > 0) break

const back = await Member.open(Number(away.self.slice(1)))
for await (const status of back.log.statuses()) if (status.leader !== null && status.firstIndex > 0) break
console.log(`${back.self} is back and reads ${await back.get('colour')}; its map has ${back.map.size} keys`)
console.log(`its log starts later now: ${back.log.status().firstIndex > 0}`)
await Promise.all([back, follower, leader].map((member) => member.log.close()))

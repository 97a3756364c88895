/**
 * Stores as files, both ways: Apache's classes and its broker open a directory that we wrote, and we open one that Apache's
 * broker wrote; each serves the other's messages to the same real client, and goes on.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from '@dledger-ts/base'
import { Broker, parseConfig } from '@dledger-ts/broker'
import { freePorts } from '@dledger-ts/dledger/internals'
import { DEFAULT_MESSAGE_DELAY_LEVEL, type MessageRecord } from '@dledger-ts/protocol'
import { Namesrv } from '@dledger-ts/namesrv'
import { missingCommand, type StorePeer } from './clients.ts'
import { LineProgram } from './line-program.ts'
import { indexLine, queueLines, recordLine, recordsOf } from './record-lines.ts'
import type { Report } from './report.ts'
import {
  DELAY_LEVELS,
  FILE_BYTES,
  KINDS_QUEUES,
  KINDS_TOPIC,
  LONG_TOPIC,
  QUESTIONS,
  QUEUE_FILE_BYTES,
  writeKinds,
} from './store-kinds.ts'

const SELF = 'n0'
const ANSWERS = /^(record|queue|unit|index|offset|checkpoint|sent|unreadable) /
const HASH_SLOTS = 5_000_000
const INDEX_ENTRIES = 20_000_000
const SENT_COUNT = 5
/** What the real client writes to, and what its group leaves behind. */
const THEIR_TOPIC = 'Theirs'
const THEIR_QUEUES: readonly Queue[] = [
  [THEIR_TOPIC, 0],
  [THEIR_TOPIC, 1],
  ['%RETRY%KindsCG', 0],
  ['%DLQ%KindsCG', 0],
]

/** What the real client sends of them, with one retry and one dead letter, as far as it is delivered. */
const KIND_COUNT = 22

const THEIR_KEYS = ['key1', 'key3', 'schlüssel', 'batch2', 'zip', 'absent']

type Queue = readonly [topic: string, queueId: number]

export async function runStoreFiles(peer: StorePeer, report: Report): Promise<void> {
  const missing = await missingCommand(peer)
  if (missing !== undefined) return report.skipped(peer.name, `${missing} is not installed`)
  report.suite(peer.name)
  const startedAtMs = performance.now()
  const root = mkdtempSync(join(tmpdir(), 'interop-store-'))
  const suite = new Suite(peer, report, root)
  try {
    await peer.build()
    await suite.apacheOpensOurs()
    await suite.weOpenApaches()
  } catch (failure) {
    const text = describeFailure(failure)
    report.check('the suite runs to its end', false, text)
  } finally {
    await suite.stop()
    console.log(`  took ${((performance.now() - startedAtMs) / 1000).toFixed(0)} s`)
    if (report.failed) console.log(`  logs: ${root}`)
    else rmSync(root, { recursive: true, force: true })
  }
}

class Suite {
  readonly #peer: StorePeer
  readonly #report: Report
  readonly #root: string
  /** What runs, the last one started first. */
  #running: (() => Promise<void>)[] = []

  constructor(peer: StorePeer, report: Report, root: string) {
    this.#peer = peer
    this.#report = report
    this.#root = root
  }

  async stop(): Promise<void> {
    const running = this.#running.reverse()
    this.#running = []
    for (const stop of running) await stop()
  }

  async apacheOpensOurs(): Promise<void> {
    const dir = this.#directory('ours')
    await writeKinds(dir)
    const records = recordsOf(join(dir, `dledger-${SELF}`))
    await this.#walk('a store of ours', dir, records, { delayLevels: DELAY_LEVELS, questions: QUESTIONS })

    // What is no fact of the log for Apache stands in files of its configuration.
    mkdirSync(join(dir, 'config'))
    writeFileSync(join(dir, 'config', 'delayOffset.json'), '{"offsetTable":{1:1}}')
    const { client, address } = await this.#apache('ours', dir, { delayLevels: DELAY_LEVELS, stopsCleanly: false })
    const topics: readonly Queue[] = [
      [KINDS_TOPIC, KINDS_QUEUES],
      ['%RETRY%KindsCG', 1],
      ['%DLQ%KindsCG', 1],
      [LONG_TOPIC, 1],
    ]
    for (const [topic, queues] of topics) {
      await client.ask('topic', address, topic, queues)
      await client.ask('route', topic)
    }
    const queues = topics.flatMap(([topic, count]) => Array.from({ length: count }, (_, i): Queue => [topic, i]))
    const expected = new Map(queues.map((queue) => [queue.join('/'), linesOf(records, queue)]))
    await this.#pull("Apache's broker serves our messages", client, expected)
    for (const [topic, key] of QUESTIONS) {
      // A client drops what was found by a unique id unless it asks for that in another way.
      if (topic !== KINDS_TOPIC || /^U\d/.test(key)) continue
      const question = `Apache's broker finds ours by ${key}`
      this.#compare(question, await client.ask('query', topic, key), [indexLine(records, topic, key)])
    }
    await this.#goOn("Apache's broker goes on after our last message", client, [KINDS_TOPIC, 2], expected)
    await this.stop()
  }

  async weOpenApaches(): Promise<void> {
    const dir = this.#directory('theirs')
    const options = { delayLevels: DEFAULT_MESSAGE_DELAY_LEVEL }
    const theirs = await this.#apache('theirs', dir, { ...options, stopsCleanly: true })
    await theirs.client.ask('topic', theirs.address, THEIR_TOPIC, 2)
    await theirs.client.ask('write', THEIR_TOPIC)
    const expected = new Map<string, string[]>()
    for (const queue of THEIR_QUEUES) expected.set(queue.join('/'), await theirs.client.ask('pull', ...queue))
    const offsets = await this.#offsets(theirs.client)
    const answers = await this.#queries(theirs.client)
    const messages = [...expected.values()].reduce((sum, lines) => sum + lines.length, 0)
    this.#report.check(
      "Apache's broker has every kind",
      messages === KIND_COUNT,
      `${messages} messages, ${offsets.join('; ')}`,
    )
    await this.stop()

    for (const life of ['first', 'second']) {
      const log: string[] = []
      const client = await this.#ours(`theirs-${life}`, dir, log)
      for (const [topic] of THEIR_QUEUES) await client.ask('route', topic)
      await this.#pull(`we serve Apache's messages, ${life} start`, client, expected)
      this.#compare(`consumers go on where they were, ${life} start`, await this.#offsets(client), offsets)
      this.#compare(`we find Apache's messages by key, ${life} start`, await this.#queries(client), answers)
      await this.#goOn(`we go on after Apache's last message, ${life} start`, client, [THEIR_TOPIC, 1], expected)
      await this.stop()
      const told = log.filter((line) => line.startsWith("took over what Apache's broker knew")).length
      const once = life === 'first' ? 1 : 0
      this.#report.check(`what was taken over is told, ${life} start`, told === once, `${told} times`)
    }
    const records = recordsOf(join(dir, `dledger-${SELF}`))
    const questions = THEIR_KEYS.map((key) => [THEIR_TOPIC, key] as const)
    await this.#walk("a store of Apache's that we went on with", dir, records, { ...options, questions })
  }

  // ------------------------------------------------------------------------------------------------ what is checked

  /** Apache's classes find in the files what follows from the log. */
  async #walk(name: string, dir: string, records: readonly MessageRecord[], options: WalkOptions): Promise<void> {
    const { delayLevels, questions } = options
    const copy = this.#directory('walk')
    copySparse(dir, copy)
    const asked = join(this.#root, 'questions')
    writeFileSync(asked, questions.map((question) => `${question.join(' ')}\n`).join(''))
    const sizes = [FILE_BYTES, QUEUE_FILE_BYTES, HASH_SLOTS, INDEX_ENTRIES]
    const lines = await this.#peer.run('WalkStore', [copy, SELF, ...sizes, asked], this.#home('walk'))
    const found = (word: string): string[] => lines.filter((line) => line.startsWith(`${word} `))
    const queues = queueLines(records, delayLevels)
    const ofQueues = (word: string): string[] => queues.filter((line) => line.startsWith(`${word} `)).sort()
    this.#compare(`${name}: records`, found('record'), records.map(recordLine))
    this.#compare(`${name}: ConsumeQueues`, found('queue').sort(), ofQueues('queue'))
    this.#compare(`${name}: their entries`, found('unit').sort(), ofQueues('unit'))
    if (existsSync(join(dir, 'index')) && readdirSync(join(dir, 'index')).length > 0) {
      const expected = questions.map(([topic, key]) => indexLine(records, topic, key))
      this.#compare(`${name}: index files`, found('index'), expected)
    }
    for (const checkpoint of found('checkpoint')) {
      const times = checkpoint.split(' ').slice(1).map(Number)
      const newest = Math.max(...records.map(({ storeTimestamp }) => storeTimestamp))
      this.#report.check(
        `${name}: checkpoint`,
        times.every((time) => time >= 0 && time <= newest),
        checkpoint,
      )
    }
    rmSync(copy, { recursive: true })
  }

  async #pull(name: string, client: LineProgram, expected: ReadonlyMap<string, readonly string[]>): Promise<void> {
    const found: string[] = []
    for (const queue of expected.keys()) found.push(...(await client.ask('pull', ...queueOf(queue))))
    this.#compare(name, found, [...expected.values()].flat())
  }

  /** New messages come at the offsets behind the old ones, and old and new ones are read. `expected` grows by them. */
  async #goOn(name: string, client: LineProgram, queue: Queue, expected: Map<string, string[]>): Promise<void> {
    const before = expected.get(queue.join('/')) ?? []
    const sent = await client.ask('send', ...queue, SENT_COUNT, 'new')
    const offsets = sent.map((line) => line.split(' ').slice(2).join(' '))
    this.#compare(
      name,
      offsets,
      offsets.map((_, i) => `${before.length + i} SEND_OK`),
    )
    const now = await client.ask('pull', ...queue)
    this.#compare(`${name}: old ones stay`, now.slice(0, before.length), before)
    this.#report.check(`${name}: new ones come`, now.length === before.length + SENT_COUNT, `${now.length} messages`)
    expected.set(queue.join('/'), now)
  }

  async #offsets(client: LineProgram): Promise<string[]> {
    const lines: string[] = []
    for (const queue of THEIR_QUEUES.slice(0, 3)) lines.push(...(await client.ask('offset', 'KindsCG', ...queue)))
    return lines
  }

  async #queries(client: LineProgram): Promise<string[]> {
    const lines: string[] = []
    for (const key of THEIR_KEYS) lines.push(...(await client.ask('query', THEIR_TOPIC, key)))
    return lines
  }

  #compare(name: string, found: readonly string[], expected: readonly string[]): void {
    const at = expected.findIndex((line, i) => line !== found[i])
    const same = at === -1 && found.length === expected.length
    const where = at === -1 ? expected.length : at
    const difference = `${found.length} of ${expected.length}; expected: ${expected[where]}; found: ${found[where]}`
    this.#report.check(name, same, same ? `${expected.length}` : difference)
  }

  // ------------------------------------------------------------------------------------------------ what runs

  /** Apache's name server and a broker, a group of one, on `dir`; and a client. */
  async #apache(name: string, dir: string, options: ApacheOptions): Promise<{ client: LineProgram; address: string }> {
    const home = this.#home(`apache-${name}`)
    const [namesrvPort = 0, brokerPort = 0, dledgerPort = 0] = await freePorts(3)
    const namesrv = join(home, 'namesrv.conf')
    const broker = join(home, 'broker.conf')
    writeProperties(namesrv, { listenPort: namesrvPort, bindAddress: '127.0.0.1' })
    writeProperties(broker, {
      ...BROKER_KEYS,
      listenPort: brokerPort,
      bindAddress: '127.0.0.1',
      namesrvAddr: `127.0.0.1:${namesrvPort}`,
      storePathRootDir: dir,
      storePathCommitLog: join(dir, 'commitlog'),
      dLegerPeers: `${SELF}-127.0.0.1:${dledgerPort}`,
      messageDelayLevel: options.delayLevels,
      timerWheelEnable: false,
      diskMaxUsedSpaceRatio: 95,
    })
    const launch = this.#peer.launch('ApacheServer', [namesrv, broker], home)
    const server = await LineProgram.start(launch, join(home, 'stderr.log'), ANSWERS)
    this.#running.push(() => (options.stopsCleanly ? server.stop() : server.kill()))
    return { client: await this.#client(name, namesrvPort), address: `127.0.0.1:${brokerPort}` }
  }

  /** Our name server and a broker on `dir`, and a client. @param log gets the lines that the broker logs. */
  async #ours(name: string, dir: string, log: string[]): Promise<LineProgram> {
    const namesrv = new Namesrv({ host: '127.0.0.1', port: 0 })
    await namesrv.start()
    this.#running.push(() => namesrv.close())
    const values = {
      ...BROKER_KEYS,
      listenPort: 0,
      bindAddress: '127.0.0.1',
      namesrvAddr: `127.0.0.1:${namesrv.port}`,
      storePathRootDir: dir,
      dLegerPeers: `${SELF}-127.0.0.1:${(await freePorts(1))[0]}`,
      messageDelayLevel: DEFAULT_MESSAGE_DELAY_LEVEL,
    }
    const texts = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, String(value)]))
    const environment = { homeDirectory: this.#root, hostName: 'localhost', address: '127.0.0.1' }
    const broker = new Broker(parseConfig(texts, environment).config, { logger: collecting(log) })
    await broker.start()
    this.#running.push(() => broker.close())
    return this.#client(name, namesrv.port)
  }

  async #client(name: string, namesrvPort: number): Promise<LineProgram> {
    const home = this.#home(`client-${name}`)
    const launch = this.#peer.launch('StoreClient', [`127.0.0.1:${namesrvPort}`], home)
    const client = await LineProgram.start(launch, join(home, 'stderr.log'), ANSWERS)
    this.#running.push(() => client.stop())
    return client
  }

  #home(name: string): string {
    return this.#directory(`home-${name}`)
  }

  #directory(name: string): string {
    const path = join(this.#root, name)
    mkdirSync(path, { recursive: true })
    return path
  }
}

interface ApacheOptions {
  readonly delayLevels: string
  /** Takes it 20 seconds; else it is killed. */
  readonly stopsCleanly: boolean
}

interface WalkOptions {
  readonly delayLevels: string
  readonly questions: readonly (readonly [topic: string, key: string])[]
}

/** What both brokers are told alike. */
const BROKER_KEYS = {
  brokerClusterName: 'RaftCluster',
  brokerName: 'RaftNode00',
  brokerIP1: '127.0.0.1',
  enableDLegerCommitLog: true,
  dLegerGroup: 'RaftNode00',
  dLegerSelfId: SELF,
  mappedFileSizeCommitLog: FILE_BYTES,
  mappedFileSizeConsumeQueue: QUEUE_FILE_BYTES,
  maxMessageSize: FILE_BYTES / 2,
}

/** With what led to it: an answer of a program. */
function describeFailure(failure: unknown): string {
  if (!(failure instanceof Error)) return String(failure)
  return failure.cause instanceof Error ? `${failure.stack} <- ${failure.cause.message}` : String(failure.stack)
}

function linesOf(records: readonly MessageRecord[], [topic, queueId]: Queue): string[] {
  const isIn = (record: MessageRecord): boolean =>
    record.topic === topic && record.queueId === queueId && [0, 8].includes(record.sysFlag & 0xc)
  return records.filter(isIn).map(recordLine)
}

function queueOf(name: string): Queue {
  const at = name.lastIndexOf('/')
  return [name.slice(0, at), Number(name.slice(at + 1))]
}

function copySparse(from: string, to: string): void {
  execFileSync('cp', ['-a', '--sparse=always', `${from}/.`, to])
}

function writeProperties(path: string, values: Readonly<Record<string, string | number | boolean>>): void {
  const lines = Object.entries(values).map(([key, value]) => `${key}=${value}\n`)
  writeFileSync(path, lines.join(''))
}

function collecting(log: string[]): Logger {
  const note = (_fields: object, text: string): void => void log.push(text)
  return { debug: note, info: note, warn: note, error: note }
}

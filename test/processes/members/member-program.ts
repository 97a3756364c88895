/**
 * One member of a group, as a process: the log over TCP, a map of registers as its state machine, and a service for the test that
 * started it (conversation.ts). Its configuration is the first argument, as JSON.
 */
import { subscribe } from 'node:diagnostics_channel'
import { rmSync, writeFileSync } from 'node:fs'
import { type Logger, systemClock } from '@dledger-ts/base'
import {
  type CommittedEntry,
  DLedger,
  DLedgerError,
  nodeDisk,
  type RoleState,
  type StateMachine,
  TcpTransport,
} from '@dledger-ts/dledger'
import { processOwner } from '@dledger-ts/dledger/internals'
import { answerOf, type RegisterOutput } from '../../history/register.ts'
import {
  type Ask,
  digestOf,
  type EntryBody,
  type MemberConfig,
  type Question,
  type ReadAnswer,
  type RegisterAnswer,
  type Said,
  type StatusAnswer,
} from './conversation.ts'
import { openShadowDisk } from './shadow-disk.ts'

const READ_ENTRIES_MAX = 2_000
const FILE_BYTES = 1024 * 1024
const INDEX_FILE_BYTES = 32 * 8_192
const ZERO_FILL_BYTES = 64 * 1024
/** Outputs of registers that nobody asked for yet. */
const OUTPUTS_KEPT_MAX = 10_000

/** Everything is applied anew at each start. */
class Registers implements StateMachine {
  readonly appliedIndex = -1
  readonly #values = new Map<string, string | null>()
  readonly #outputs = new Map<number, RegisterOutput>()

  discard(): void {}

  apply(entries: readonly CommittedEntry[]): void {
    for (const { kind, index, body } of entries) {
      if (kind !== 'data') continue
      const { register } = JSON.parse(body.toString()) as EntryBody
      if (register === undefined) continue
      const { value, output } = answerOf(this.#values.get(register.key) ?? null, register)
      this.#values.set(register.key, value)
      this.#outputs.set(index, output)
      if (this.#outputs.size > OUTPUTS_KEPT_MAX) {
        const [oldest] = this.#outputs.keys()
        this.#outputs.delete(oldest as number)
      }
    }
  }

  roleChanged(_state: RoleState): void {}

  durable(_index: number): void {}

  valueOf(key: string): string | null {
    return this.#values.get(key) ?? null
  }

  outputOf(index: number): RegisterOutput | null {
    return this.#outputs.get(index) ?? null
  }
}

const config = JSON.parse(process.argv[2] as string) as MemberConfig
const ballast = `${config.directory}.ballast`
if (config.ballastBytes > 0) writeFileSync(ballast, Buffer.alloc(config.ballastBytes, 1))
const logger = lineLogger()
const registers = new Registers()
const transport = new TcpTransport({ ...config, clock: systemClock, logger })
let syncedIndex = -1
subscribe('dledger.sync', (message) => void (syncedIndex = (message as { index: number }).index))
const owner = processOwner()
const ids = config.peers.map(({ id }) => id)
try {
  const log = await DLedger.open({
    directory: config.directory,
    group: 'members',
    self: config.self,
    members: [...new Set([config.self, ...ids])].toSorted(),
    transport,
    stateMachine: registers,
    logger,
    flushDiskType: config.flush,
    leaseReads: config.leaseReads,
    fileBytes: FILE_BYTES,
    indexFileBytes: INDEX_FILE_BYTES,
    zeroFillBytes: ZERO_FILL_BYTES,
    disk: config.shadowDirectory === null ? nodeDisk : openShadowDisk(nodeDisk, config.shadowDirectory),
    owner: { ...owner, bootId: `${owner.bootId}/${config.boot}` },
    onFatal: stopped,
  })
  process.on('message', (question: Question) => {
    answer(log, question.ask).then(
      (value) => say({ kind: 'answer', number: question.number, value }),
      (error: unknown) => refuse(question.number, error),
    )
  })
  // Its test is gone.
  process.on('disconnect', () => process.exit(1))
  say({ kind: 'up' })
} catch (error) {
  stopped(error)
}

async function answer(log: DLedger, ask: Ask): Promise<unknown> {
  switch (ask.kind) {
    case 'append': {
      const { index } = await log.append(Buffer.from(JSON.stringify(ask.body)))
      return { index, output: registers.outputOf(index) }
    }
    case 'read':
      return read(log, ask.from)
    case 'readRegister': {
      await log.readIndex({ consistency: ask.consistency })
      const answered: RegisterAnswer = { value: registers.valueOf(ask.key) }
      return answered
    }
    case 'status': {
      const { role, ready, term, leader, recovering } = log.status()
      const { lastIndex, commitIndex, appliedIndex } = log
      const { badFrames } = transport.stats()
      const indexes = { lastIndex, commitIndex, appliedIndex, syncedIndex }
      const status: StatusAnswer = { role, ready, term, leader, recovering, badFrames, ...indexes }
      return status
    }
    case 'transfer':
      return log.transferLeadership(ask.to)
    case 'makeRoom':
      rmSync(ballast)
      return null
    case 'close':
      await log.close()
      setImmediate(() => process.exit(0))
      return null
  }
}

async function read(log: DLedger, wanted: number): Promise<ReadAnswer> {
  const committed = log.commitIndex + 1
  const from = Math.min(Math.max(wanted, log.firstIndex), committed)
  const end = Math.min(committed, from + READ_ENTRIES_MAX)
  const entries = []
  if (end > from) {
    for await (const { index, body } of log.entries({ from })) {
      if (index >= end) break
      entries.push({ index, id: (JSON.parse(body.toString()) as EntryBody).id, content: digestOf(body) })
    }
  }
  return { from, end, entries }
}

function refuse(number: number, error: unknown): void {
  if (!(error instanceof DLedgerError)) throw error
  const { detail } = error
  say({ kind: 'refused', number, code: error.code, leader: detail.code === 'NOT_LEADER' ? detail.leader : null })
}

function stopped(error: unknown): void {
  const known = error instanceof Error ? error : new Error(String(error))
  say({ kind: 'stopped', code: known instanceof DLedgerError ? known.code : known.name, message: known.message })
  setImmediate(() => process.exit(3))
}

function say(said: Said): void {
  // When the test is gone there is nobody to tell; `disconnect` ends the process.
  if (process.connected) process.send?.(said)
}

function lineLogger(): Logger {
  const line = (fields: Record<string, unknown>, event: string): void => {
    const { err, ...rest } = fields as { err?: unknown }
    const why = err instanceof Error ? ` ${err.stack ?? err.message}` : ''
    process.stderr.write(`${new Date().toISOString()} ${config.self} ${event} ${JSON.stringify(rest)}${why}\n`)
  }
  return { debug: () => {}, info: line, warn: line, error: line }
}

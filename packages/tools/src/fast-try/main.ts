/** `scripts/fast-try.sh`: a namesrv and a three-node broker group on one machine. */
import { existsSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { Argument, Option } from 'commander'
import CliTable from 'cli-table3'
import type { ClientOptions, ClientTls } from '@dledger-ts/client'
import { command, endWithReader, fail } from '../server/program.ts'
import { readPropertiesFile } from '../server/properties-file.ts'
import { alone } from './alone.ts'
import { roundTrip } from './demo.ts'
import {
  checkFiles,
  demoDirectory,
  type Flush,
  flushOf,
  killProcess,
  lastOutput,
  namesrvDirectory,
  pause,
  pidIn,
  removeAll,
  startBroker,
  startNamesrv,
  stopProcess,
} from './processes.ts'
import { type BrokerSettings, HOST, namesrvAddress, type Settings, settingsFrom } from './settings.ts'
import { type GroupStatus, groupStatus } from './status.ts'

const LOOK_EVERY_MS = 50
const LEADER_WITHIN_MS = 60_000
const DEMO_MESSAGES = 5

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function start(settings: Settings, flags: { flush?: Flush; fresh?: boolean }): Promise<void> {
  checkFiles(settings)
  const begun = Date.now()
  await alone(settings.directory, async () => {
    if (flags.fresh === true) {
      await stopAll(settings)
      removeAll(settings)
    }
    await startMissing(settings, flags.flush ?? null)
  })
  const status = await leaderServes(settings)
  say(`leader   ${status.leader} in term ${status.term}, after ${((Date.now() - begun) / 1000).toFixed(1)} s`)
  await demo(settings)
  printTable(await groupStatus(settings))
  say(`
Point a RocketMQ client at ${namesrvAddress(settings)}. What to try next:
  scripts/fast-try.sh status            who leads, how far each log is
  scripts/fast-try.sh kill-leader       kill -9; another member takes over
  scripts/fast-try.sh restart n0        bring a member back
  npx quickstart-producer -n ${namesrvAddress(settings)}
  npx quickstart-consumer -n ${namesrvAddress(settings)}
  scripts/fast-try.sh stop --clean      stop everything and remove the data
Data, logs and configuration: ${settings.directory}`)
}

async function startMissing(settings: Settings, flush: Flush | null): Promise<void> {
  const isNamesrvMissing = pidIn(namesrvDirectory(settings)) === null
  const missing = settings.brokers.filter((broker) => pidIn(broker.directory) === null)
  // All of them first: what is refused has started nothing.
  if (isNamesrvMissing) await refuseTaken('FAST_TRY_NAMESRV_PORT', [settings.namesrvPort])
  await refuseTaken(
    'FAST_TRY_BROKER_PORTS',
    missing.flatMap(({ port }) => [port, port - 2]),
  )
  const raftPorts = missing.map(({ raftPort }) => raftPort)
  await refuseTaken('FAST_TRY_RAFT_PORTS', raftPorts)
  const metricsPorts = missing.map(({ metricsPort }) => metricsPort)
  await refuseTaken('FAST_TRY_METRICS_PORTS', metricsPorts)
  if (isNamesrvMissing) say(`namesrv  ${namesrvAddress(settings)}  pid ${startNamesrv(settings)}`)
  for (const broker of settings.brokers) {
    if (missing.includes(broker)) {
      say(`${broker.id}       127.0.0.1:${broker.port}  pid ${startBroker(settings, broker, flush)}`)
    } else if (flush !== null && flushOf(broker) !== flush) {
      process.stderr.write(`fast-try: ${broker.id} runs already, and goes on without --flush ${flush}: stop it first\n`)
    }
  }
}

/** @throws Error that names the first port that another program has, and the variable that names another one. */
async function refuseTaken(variable: string, ports: readonly number[]): Promise<void> {
  for (const port of ports) {
    const fault = await listeningFault(port)
    if (fault !== null) throw new Error(`cannot listen on ${HOST}:${port}: ${fault}; ${variable} names other ports`)
  }
}

function listeningFault(port: number): Promise<string | null> {
  return new Promise((answer) => {
    const server = createServer()
    server.once('error', (error) => answer(error.message))
    server.listen(port, HOST, () => server.close(() => answer(null)))
  })
}

/** Waits until a leader serves. @throws Error with the last output of a server that died meanwhile. */
async function leaderServes(settings: Settings): Promise<GroupStatus> {
  const deadline = Date.now() + LEADER_WITHIN_MS
  const directories = [namesrvDirectory(settings), ...settings.brokers.map((broker) => broker.directory)]
  for (;;) {
    const status = await groupStatus(settings)
    const leader = status.brokers.find((broker) => broker.id === status.leader)
    if (leader !== undefined && (await listens(settings.namesrvPort))) return status
    for (const directory of directories) {
      if (pidIn(directory) === null) throw new Error(`a server has ended: ${directory}\n${lastOutput(directory)}`)
    }
    if (Date.now() > deadline) {
      throw new Error(
        `no leader after ${LEADER_WITHIN_MS / 1000} s; logs: ${settings.directory}/n*/store/logs/broker.log`,
      )
    }
    await pause(LOOK_EVERY_MS)
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, HOST)
    const answer = (open: boolean) => {
      socket.destroy()
      resolve(open)
    }
    socket.once('connect', () => answer(true)).once('error', () => answer(false))
  })
}

/** One at a time: all are of one consumer group, whose members share the messages. */
async function demo(settings: Settings): Promise<void> {
  if (existsSync(settings.directory)) await alone(demoDirectory(settings), () => demoAlone(settings))
  else await demoAlone(settings)
}

async function demoAlone(settings: Settings): Promise<void> {
  const access = { tls: tlsOf(settings), ...credentialsIn(settings) }
  const result = await roundTrip(namesrvAddress(settings), DEMO_MESSAGES, access)
  for (const line of result.lines) say(line)
  say(`${result.received} of ${result.sent} messages made the round trip`)
  if (result.received !== result.sent) throw new Error('not every message came back')
}

/** The brokers' own: with them every group lets the trial messages through. */
function credentialsIn({ extraConf }: Settings): Pick<ClientOptions, 'credentials'> {
  if (extraConf === null) return {}
  const { innerClientAuthenticationCredentials: text } = readPropertiesFile(extraConf).values
  // The brokers have started with it, so it is one.
  return text === undefined ? {} : { credentials: JSON.parse(text) as NonNullable<ClientOptions['credentials']> }
}

/** As the brokers dial, with their certificate, for the case that clients need one. */
function tlsOf({ tlsFile }: Settings): boolean | ClientTls {
  if (tlsFile === null) return false
  const { values } = readPropertiesFile(tlsFile)
  if (values['tls.enable'] !== 'true') return false
  const side = (values['tls.client.certPath'] ?? '') === '' ? 'tls.server' : 'tls.client'
  return {
    certPath: values[`${side}.certPath`] ?? '',
    keyPath: values[`${side}.keyPath`] ?? '',
    keyPassword: values[`${side}.keyPassword`] ?? '',
  }
}

async function status(settings: Settings, flags: { json?: boolean }): Promise<void> {
  const found = await groupStatus(settings)
  if (flags.json === true) say(JSON.stringify(found))
  else printTable(found)
  if (found.leader === null) process.exitCode = 1
}

function printTable(found: GroupStatus): void {
  const table = new CliTable({
    style: { head: [], border: [], compact: true },
    head: ['id', 'pid', 'address', 'broker id', 'role', 'term', 'last', 'committed', 'applied'],
  })
  for (const broker of found.brokers) {
    table.push(
      [
        broker.id,
        broker.pid,
        broker.addr,
        broker.brokerId,
        broker.up ? (broker.role ?? 'no answer') : 'down',
        broker.term,
        broker.lastIndex,
        broker.commitIndex,
        broker.appliedIndex,
      ].map((value) => String(value ?? '')),
    )
  }
  say(`namesrv ${found.namesrv}, cluster ${found.cluster}, broker name ${found.brokerName}`)
  say(table.toString())
  say(found.leader === null ? 'no leader serves' : `${found.leader} leads`)
}

async function killLeader(settings: Settings): Promise<void> {
  const { leader } = await groupStatus(settings)
  const broker = settings.brokers.find(({ id }) => id === leader)
  const pid = broker === undefined ? null : pidIn(broker.directory)
  if (broker === undefined || pid === null) {
    process.stderr.write('fast-try: no leader serves\n')
    process.exitCode = 1
    return
  }
  await killProcess(pid)
  say(broker.id)
}

async function signalBroker(settings: Settings, id: string, signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
  process.kill(pidOf(settings, id), signal)
  say(id)
}

async function restart(settings: Settings, id: string): Promise<void> {
  const broker = brokerOf(settings, id)
  checkFiles(settings)
  await alone(settings.directory, async () => {
    const pid = pidIn(broker.directory)
    if (pid !== null) await stopProcess(pid)
    startBroker(settings, broker, null)
  })
  const deadline = Date.now() + LEADER_WITHIN_MS
  for (;;) {
    const found = (await groupStatus(settings)).brokers.find((one) => one.id === id)
    if (found?.role !== null && found?.role !== undefined) break
    if (pidIn(broker.directory) === null) throw new Error(`${id} has ended: ${lastOutput(broker.directory)}`)
    if (Date.now() > deadline) throw new Error(`${id} does not answer after ${LEADER_WITHIN_MS / 1000} s`)
    await pause(LOOK_EVERY_MS)
  }
  say(id)
}

async function stop(settings: Settings, flags: { clean?: boolean }): Promise<void> {
  // Nothing was ever started there.
  if (!existsSync(settings.directory)) return
  await alone(settings.directory, async () => {
    await stopAll(settings)
    if (flags.clean === true) removeAll(settings)
  })
}

async function stopAll(settings: Settings): Promise<void> {
  const brokers = settings.brokers.flatMap((broker) => pidIn(broker.directory) ?? [])
  await Promise.all(brokers.map(stopProcess))
  const namesrv = pidIn(namesrvDirectory(settings))
  if (namesrv !== null) await stopProcess(namesrv)
}

function brokerOf(settings: Settings, id: string): BrokerSettings {
  const broker = settings.brokers.find((one) => one.id === id)
  if (broker === undefined)
    throw new Error(`no broker ${id}; known are ${settings.brokers.map((one) => one.id).join(', ')}`)
  return broker
}

function pidOf(settings: Settings, id: string): number {
  const pid = pidIn(brokerOf(settings, id).directory)
  if (pid === null) throw new Error(`${id} does not run`)
  return pid
}

endWithReader()

function run(work: (settings: Settings) => Promise<void>): void {
  Promise.resolve()
    .then(() => work(settingsFrom(process.env)))
    .catch((error: unknown) => fail('fast-try', error))
}

const program = command('fast-try.sh', 'fast-try').description(
  'A namesrv and a three-node broker group on this machine.',
)
const idArgument = new Argument('<ID>', 'a broker: n0, n1 or n2')
program
  .command('start')
  .description('start what is not running, wait for a leader, send and consume a few messages')
  .addOption(new Option('--flush <MODE>', 'what an acknowledgement means').choices(['ASYNC_FLUSH', 'SYNC_FLUSH']))
  .option('--fresh', 'empty the data first')
  .action((flags: { flush?: Flush; fresh?: boolean }) => run((settings) => start(settings, flags)))
program
  .command('status')
  .description('a table of the group; exit status 1 where no leader serves')
  .option('--json', 'one JSON object')
  .action((flags: { json?: boolean }) => run((settings) => status(settings, flags)))
program
  .command('kill-leader')
  .description('kill -9 of the leader; prints its id')
  .action(() => run(killLeader))
program
  .command('kill')
  .description('kill -9 of a broker')
  .addArgument(idArgument)
  .action((id: string) =>
    run(async (settings) => {
      await killProcess(pidOf(settings, id))
      say(id)
    }),
  )
program
  .command('pause')
  .description('SIGSTOP')
  .addArgument(idArgument)
  .action((id: string) => run((settings) => signalBroker(settings, id, 'SIGSTOP')))
program
  .command('resume')
  .description('SIGCONT')
  .addArgument(idArgument)
  .action((id: string) => run((settings) => signalBroker(settings, id, 'SIGCONT')))
program
  .command('restart')
  .description('stop a broker if it runs, and start it again')
  .addArgument(idArgument)
  .action((id: string) => run((settings) => restart(settings, id)))
program
  .command('demo')
  .description('send a few messages and consume them')
  .action(() => run(demo))
program
  .command('stop')
  .description('stop everything that was started')
  .option('--clean', 'remove the data')
  .action((flags: { clean?: boolean }) => run((settings) => stop(settings, flags)))
program.parse()

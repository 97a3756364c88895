/**
 * A master and its slaves by configuration, and real clients of them that stay through all of it: the master dies and comes back, its slave
 * is away or stands still, a slave is made the master for good. Our name server first; then Apache's, with our brokers registered there.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '@dledger-ts/dledger/internals'
import { Brokers } from '../processes/classic/pair.ts'
import { type Client, CLIENTS, MQADMINS, STORE_PEER } from './clients.ts'
import { LineProgram } from './line-program.ts'
import { lacks, printsException } from './mqadmin-step.ts'
import { launchIn } from './mqadmin.ts'
import { type OwnSuite, runSuiteOn, startClient } from './own-suite.ts'
import type { Report } from './report.ts'
import { SCENARIOS_CONF } from './test-group.ts'

type Suite = OwnSuite<Brokers>

const SLAVE_TIMEOUT = { slaveTimeout: 2_000 }

export async function runClassic(client: Client, report: Report): Promise<void> {
  const version = client.name.replace(/^.*-/, '')
  await runSuiteOn(
    () => Brokers.begin(),
    client,
    report,
    async (suite) => {
      keepLogs(suite, 'first')
      await liveOfAPair(client, suite, version, report)
      await scenarios(suite, version, report)
      if (STORE_PEER.name.endsWith(version)) await atApachesNamesrv(client, suite, report)
    },
  )
}

/** From the first message to the master that is lost for good. */
async function liveOfAPair(client: Client, suite: Suite, version: string, report: Report): Promise<void> {
  const { servers } = suite
  await servers.start('a', 'ASYNC_MASTER')
  await servers.start('b', 'SLAVE')
  const program = await startClient(client, suite, newName(), report)
  await program.command('begin')
  await servers.untilLevel('b', 'a')
  await program.command('slave')
  await mqadmin(suite, version, report)

  await deathOfTheMaster(program.command.bind(program), servers)
  await servers.start('a', 'ASYNC_MASTER')
  await program.command('again', 'with the master that came back')

  await servers.stop('a')
  await servers.start('a', 'SYNC_MASTER', SLAVE_TIMEOUT)
  await program.command('status', 'SEND_OK', 'a SYNC_MASTER and its slave')
  await servers.kill('b')
  await program.command('status', 'SLAVE_NOT_AVAILABLE', 'without the slave')
  await servers.start('b', 'SLAVE')
  await program.command('status', 'SEND_OK', 'with the slave again')
  servers.signal('b', 'SIGSTOP')
  await program.command('status', 'FLUSH_SLAVE_TIMEOUT', 'with a slave that stands still')
  servers.signal('b', 'SIGCONT')
  await program.command('status', 'SEND_OK', 'with a slave that goes on')

  // What is answered so now is on the slave: nobody waits for it.
  await program.command('backlog')
  await servers.kill('a')
  await servers.stop('b')
  await servers.start('b', 'ASYNC_MASTER')
  await program.command('again', 'with the slave that was made the master')
  await returnOfTheFormerMaster(servers, report)
  await program.command('again', 'with the former master as a slave')
  await servers.untilLevel('a', 'b')
  await program.command('slave')
  await program.command('exit')
  for (const directory of ['a', 'b']) await servers.kill(directory)
}

async function deathOfTheMaster(command: (...words: string[]) => Promise<void>, servers: Brokers): Promise<void> {
  await command('backlog')
  await servers.untilLevel('b', 'a')
  await servers.kill('a')
  await command('without')
}

async function returnOfTheFormerMaster(servers: Brokers, report: Report): Promise<void> {
  const { status, stderr } = await servers.launch('a', 'ASYNC_MASTER').ended
  const says = /[^"]*was made the master of[^"]*/.exec(stderr)?.[0]
  report.check(
    'the former master does not start as one',
    status === 1 && says !== undefined,
    `status ${status}: ${says ?? stderr}`,
  )
  await servers.start('a', 'SLAVE')
  await servers.untilListed({ 0: servers.address('b'), 1: servers.address('a') })
  report.check('it becomes a slave', true, 'the name server lists it as 1')
}

/** What mqadmin shows of a master and its slave. */
async function mqadmin({ servers, root, atEnd }: Suite, version: string, report: Report): Promise<void> {
  const tool = MQADMINS.find(({ name }) => name.endsWith(version)) as Client
  await tool.build()
  const launch = launchIn(join(root, 'mqadmin'), tool, servers.namesrv)
  const program = await LineProgram.start(launch, join(root, 'mqadmin.log'), /^(out|err) ?/)
  atEnd(() => program.kill())
  const check = async (facts: readonly (string | RegExp)[], ...args: string[]): Promise<void> => {
    const output = (await program.ask('mqadmin', ...args)).join('\n')
    const wrong = printsException(output) ? 'it prints an exception' : lacks(output, ...facts)
    report.check(
      `mqadmin ${args.join(' ')}`,
      wrong === undefined,
      wrong === undefined ? 'as Apache’s' : `${wrong}\n${output}`,
    )
  }
  const row = (id: number, directory: string): RegExp =>
    new RegExp(`\\spair\\s+${id}\\s+${servers.address(directory)}\\s`)
  await check([row(0, 'a'), row(1, 'b')], 'clusterList')
  await check([/brokerRole\s+=\s+SLAVE/], 'getBrokerConfig', '-b', servers.address('b'))
  await check([/msgPutTotalTodayNow\s+:\s*90\n/], 'brokerStatus', '-b', servers.address('b'))
  await program.kill()
}

/** Each of the clients' scenarios, and a slave is made the master in the middle of all. */
async function scenarios({ root, atEnd }: Suite, version: string, report: Report): Promise<void> {
  const main = CLIENTS.find(({ name }) => name === `java-${version}`) as Client
  await main.build()
  const servers = await Brokers.begin({ keys: SCENARIOS_CONF })
  atEnd(() => servers.close())
  await servers.start('a', 'SYNC_MASTER')
  await servers.start('b', 'SLAVE')
  await servers.start('c', 'SLAVE', { brokerId: 2 })
  await servers.untilListed({ 0: servers.address('a'), 1: servers.address('b'), 2: servers.address('c') })
  keepLogs({ servers, root, atEnd }, 'scenarios')
  const program = await startClient(main, { servers, root, atEnd }, newName(), report)
  await program.command('scenarios', 'before')
  await program.command('scenarios', 'through')
  await servers.kill('a')
  const ended = program.command('goon')
  const [ahead, other] =
    (await servers.status('b')).lastIndex >= (await servers.status('c')).lastIndex ? ['b', 'c'] : ['c', 'b']
  await servers.stop(ahead)
  await servers.start(ahead, 'SYNC_MASTER')
  await servers.start('a', 'SLAVE', { brokerId: ahead === 'b' ? 1 : 2 })
  await ended
  await servers.untilLevel(other, ahead)
  report.check(
    'a slave is made the master in the middle of scenarios',
    true,
    `a was killed, ${ahead} was ahead, ${other} follows it`,
  )
  await program.command('exit')
  await servers.close()
}

/** Master and slave of ours, with Apache's name server. */
async function atApachesNamesrv(client: Client, { root, atEnd }: Suite, report: Report): Promise<void> {
  await STORE_PEER.build()
  const home = join(root, 'namesrv')
  mkdirSync(home)
  const [listenPort = 0] = await freePorts(1)
  writeFileSync(join(home, 'namesrv.conf'), `listenPort=${listenPort}\nbindAddress=127.0.0.1\n`)
  const launch = STORE_PEER.launch('ApacheServer', [join(home, 'namesrv.conf')], home)
  const namesrv = await LineProgram.start(launch, join(home, 'stderr.log'), /^$/)
  atEnd(() => namesrv.kill())
  const servers = await Brokers.begin({ namesrv: `127.0.0.1:${listenPort}` })
  atEnd(() => servers.close())
  keepLogs({ servers, root, atEnd }, 'apache')
  report.note('with Apache’s name server:')
  await servers.start('a', 'ASYNC_MASTER')
  await servers.start('b', 'SLAVE')
  await servers.untilListed({ 0: servers.address('a'), 1: servers.address('b') })
  const program = await startClient(client, { servers, root, atEnd }, newName(), report)
  await program.command('begin')
  await servers.untilLevel('b', 'a')
  await program.command('slave')
  await deathOfTheMaster(program.command.bind(program), servers)
  await servers.stop('b')
  await servers.start('b', 'ASYNC_MASTER')
  await program.command('again', 'with the slave that was made the master')
  await returnOfTheFormerMaster(servers, report)
  await program.command('again', 'with the former master as a slave')
  await program.command('exit')
}

/** For a look at them after a failure: they go with their servers. */
function keepLogs({ servers, root, atEnd }: Suite, name: string): void {
  atEnd(() => servers.workplace.keepLogs(join(root, `brokers-${name}`)))
}

function newName(): string {
  return `classic_${randomBytes(3).toString('hex')}`
}

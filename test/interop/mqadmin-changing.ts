/**
 * Apache's mqadmin, unmodified, changes a group of ours: topics, groups, offsets, settings; and reaches clients through the broker. Each
 * command must print what it prints of Apache's brokers, what it changed must count, and be there after the leader was killed.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  createRequest,
  decodeConsumerIdList,
  decodeTopicConfigTable,
  type ExtFields,
  RemotingClient,
  type RemotingCommand,
  RequestCode,
} from '@dledger-ts/remoting'
import { createTopic } from '../processes/group/admin.ts'
import type { FastTry } from '../processes/group/fast-try.ts'
import { untilTrue } from '../processes/group/until.ts'
import type { Client } from './clients.ts'
import { LineProgram } from './line-program.ts'
import { launchIn } from './mqadmin.ts'
import { lacks, printsException } from './mqadmin-step.ts'
import { type OwnSuite, runOwnSuite } from './own-suite.ts'
import type { Report } from './report.ts'

const QUEUE_COUNT = 2
const PER_QUEUE = 4
const TOTAL = QUEUE_COUNT * PER_QUEUE
const ANSWERS = /^(out|err|sent|consumed) ?/
/** A consumer that is told to go back waits ten seconds before it does. */
const TIMEOUT_MS = 60_000
const CALL_TIMEOUT_MS = 5_000

export async function runMqadminChanging(client: Client, report: Report): Promise<void> {
  await runOwnSuite(client, report, {}, async (suite) => {
    const { servers, root, atEnd } = suite
    const launch = launchIn(join(root, 'home'), client, servers.namesrv)
    const program = await LineProgram.start(launch, join(root, 'client.log'), ANSWERS)
    atEnd(() => program.kill())
    const changing = new Changing(report, suite, program, { is5: client.name.includes('-5.') })
    atEnd(() => changing.close())
    await changing.run()
  })
}

class Changing {
  readonly #report: Report
  readonly #servers: FastTry
  readonly #program: LineProgram
  readonly #root: string
  readonly #is5: boolean
  readonly #remoting = new RemotingClient()
  #cluster = ''
  #brokerName = ''
  #leader = ''

  constructor(report: Report, { servers, root }: OwnSuite, program: LineProgram, more: { is5: boolean }) {
    this.#report = report
    this.#servers = servers
    this.#program = program
    this.#root = root
    this.#is5 = more.is5
  }

  close(): void {
    this.#remoting.close()
  }

  async run(): Promise<void> {
    const { cluster, brokerName } = await this.#servers.status()
    this.#cluster = cluster
    this.#brokerName = brokerName
    await this.#findLeader()
    const name = randomBytes(3).toString('hex')
    await this.#topics(name)
    await this.#groups(name)
    await this.#settings()
    await this.#upkeep(name)
    const topic = `T_${name}`
    const offsetIds = await this.#filled(topic)
    await this.#clients(topic, `C_${name}`, offsetIds[0] as string)
    await this.#offsets(topic, name)
    const killed = await this.#servers.killLeader()
    await this.#servers.leader(killed)
    await this.#findLeader()
    await this.#afterTheLeader(topic, name)
  }

  // ---- what is changed

  async #topics(name: string): Promise<void> {
    const [topic, gone] = [`New_${name}`, `Gone_${name}`]
    const queues = ['-r', '3', '-w', '3']
    await this.#step(
      'updateTopic',
      ['-c', this.#cluster, '-t', topic, ...queues],
      `create topic to ${this.#leader} success.`,
    )
    await this.#step(
      'updateTopic',
      ['-b', this.#leader, '-t', gone, ...queues],
      `create topic to ${this.#leader} success.`,
    )
    await this.#routed(topic)
    await this.#routed(gone)
    const perm = `update topic perm from 6 to 4 in ${this.#leader} success.`
    await this.#step('updateTopicPerm', ['-b', this.#leader, '-t', topic, '-p', '4'], perm)
    const order = `${this.#brokerName}:3`
    await this.#step('updateOrderConf', ['-m', 'put', '-t', topic, '-v', order], 'update orderConf success')
    await this.#step('updateOrderConf', ['-m', 'get', '-t', topic], `orderConf=[${order}]`)
    await this.#step('updateOrderConf', ['-m', 'delete', '-t', topic], 'delete orderConf success')
    await this.#step(
      'deleteTopic',
      ['-c', this.#cluster, '-t', gone],
      `delete topic [${gone}] from cluster [${this.#cluster}] success`,
    )
    if (!this.#is5) return
    const file = this.#file([{ topicName: `List1_${name}` }, { topicName: `List2_${name}`, perm: 4 }])
    await this.#step('updateTopicList', ['-c', this.#cluster, '-f', file], `to ${this.#leader} success`)
  }

  async #groups(name: string): Promise<void> {
    const to = ['-c', this.#cluster]
    const done = `create subscription group to ${this.#leader} success.`
    await this.#step('updateSubGroup', [...to, '-g', `G_${name}`, '-r', '3', '-q', '2'], done)
    await this.#step('updateSubGroup', ['-b', this.#leader, '-g', `Off_${name}`, '-s', 'false'], done)
    await this.#step('updateSubGroup', [...to, '-g', `Gone_${name}`], done)
    const removed = `delete subscription group [Gone_${name}] from broker [${this.#leader}] in cluster [${this.#cluster}] success.`
    await this.#step('deleteSubGroup', [...to, '-g', `Gone_${name}`, '-r', 'true'], removed)
    if (!this.#is5) return
    const file = this.#file([{ groupName: `GL1_${name}`, retryMaxTimes: 5 }, { groupName: `GL2_${name}` }])
    await this.#step('updateSubGroupList', [...to, '-f', file], `to ${this.#leader} success`)
    const mode = ['-t', `New_${name}`, '-g', `G_${name}`, '-m', 'POP', '-q', '8']
    await this.#step('setConsumeMode', [...to, ...mode], `set consume mode to ${this.#leader} success.`)
  }

  async #settings(): Promise<void> {
    const broker = ['-b', this.#leader]
    const config = (key: string, value: string) => [...broker, '-k', key, '-v', value]
    await this.#step(
      'updateBrokerConfig',
      config('maxMessageSize', '1048576'),
      `update broker config success, ${this.#leader}`,
    )
    await this.#step('updateBrokerConfig', config('noSuchKey', '1'), `update broker config success, ${this.#leader}`)
    const { leader } = await this.#servers.status()
    const conf = readFileSync(join(this.#servers.directory, leader ?? '', 'broker.conf'), 'utf8')
    this.#report.check('… is in the configuration file', /^maxMessageSize=1048576$/m.test(conf), '')
    const refused = await this.#command('updateBrokerConfig', ...config('mappedFileSizeCommitLog', '1024000'))
    const wrong = lacks(refused, 'CODE: 29', 'mappedFileSizeCommitLog cannot change while the broker runs')
    this.#report.check(
      'updateBrokerConfig of a key that is read at the start is refused',
      wrong === undefined,
      wrong ?? '',
    )
    const order = ['-k', 'orderMessageEnable', '-v', 'true']
    await this.#step('updateNamesrvConfig', order, 'update name server config success!')
    await this.#step('getNamesrvConfig', [], /orderMessageEnable\s*=\s*true/)
    const key = ['-s', 'SPACE', '-k', 'key']
    await this.#step('updateKvConfig', [...key, '-v', 'value'], 'create or update kv config to namespace success.')
    await this.#step('deleteKvConfig', key, 'delete kv config from namespace success.')
  }

  async #upkeep(name: string): Promise<void> {
    const wiped = `write perm of broker[${this.#brokerName}] in name server[${this.#servers.namesrv}] OK`
    await this.#step('wipeWritePerm', ['-b', this.#brokerName], `wipe ${wiped}`)
    await this.#step('addWritePerm', ['-b', this.#brokerName], `add ${wiped}`)
    for (const command of ['cleanExpiredCQ', 'cleanUnusedTopic', 'deleteExpiredCommitLog']) {
      await this.#step(command, ['-c', this.#cluster], 'success')
    }
    // What wiping does to the name server's copy is undone by what the broker says next.
    await this.#step(
      'updateTopicPerm',
      ['-b', this.#leader, '-t', `New_${name}`, '-p', '2'],
      `in ${this.#leader} success.`,
    )
  }

  // ---- what is asked of clients

  async #clients(topic: string, group: string, offsetId: string): Promise<void> {
    await this.#consumedAll(group, topic, TOTAL)
    const clientId = (await this.#clientIds(group))[0] ?? ''
    // Before 5 it finds the broker by the id alone.
    const message = [...(this.#is5 ? ['-t', topic] : []), '-i', offsetId]
    const consumed = [...message, '-g', group, '-d', clientId]
    await this.#step('queryMsgById', consumed, 'consumeResult=CR_SUCCESS')
    await this.#eventually('… is consumed once more', async () => (await this.#consumed(group)) === TOTAL + 1)
    const nobody = [...message, '-g', group, '-d', 'nobody']
    const refused = await this.#command('queryMsgById', ...nobody)
    const wrong = lacks(refused, `The Consumer <${group}> <nobody> not online`)
    this.#report.check('queryMsgById for a client that is not online', wrong === undefined, wrong ?? '')
    const connections = await this.#command('consumerConnection', '-g', group)
    if (connections.includes('CODE: 3'))
      this.#report.skipped('consumerStatus', 'the broker does not list connections (203)')
    else await this.#step('consumerStatus', ['-g', group, '-i', clientId], 'PROP_CONSUMER_START_TIMESTAMP')
    await this.#program.ask('stop', group)
  }

  async #offsets(topic: string, name: string): Promise<void> {
    const online = `On_${name}`
    await this.#consumedAll(online, topic, TOTAL)
    const reset = (group: string) => ['-g', group, '-t', topic, '-s', '0']
    await this.#step('resetOffsetByTime', reset(online), this.#brokerName)
    await this.#eventually(
      '… its consumer consumes all again',
      async () => (await this.#consumed(online)) === 2 * TOTAL,
    )
    await this.#program.ask('stop', online)
    await this.#step('resetOffsetByTime', reset(online), this.#brokerName)
    await this.#offsetsAre(online, topic, 0)
    await this.#consumedAll(online, topic, TOTAL)
    await this.#program.ask('stop', online)
    await this.#step('resetOffsetByTime', reset(online), this.#brokerName)
    await this.#step('skipAccumulatedMessage', ['-g', online, '-t', topic], this.#brokerName)
    await this.#offsetsAre(online, topic, PER_QUEUE)
    if (this.#is5) {
      await this.#step(
        'resetOffsetByTime',
        ['-b', this.#leader, ...reset(online), '-q', '1', '-o', '1'],
        'reset consumer offset to 1',
      )
      await this.#offsetsAre(online, topic, PER_QUEUE, 1)
    }
    const stats = await this.#command('consumerProgress', '-g', online)
    if (stats.includes('CODE: 3'))
      this.#report.skipped('cloneGroupOffset', 'the broker does not tell how far groups are (208)')
    else {
      const clone = ['-s', online, '-d', `Copy_${name}`, '-t', topic]
      await this.#step('cloneGroupOffset', clone, 'clone group offset success')
    }
    // Nobody is online when the leader dies.
    await this.#step('resetOffsetByTime', reset(online), this.#brokerName)
  }

  async #afterTheLeader(topic: string, name: string): Promise<void> {
    const topics = decodeTopicConfigTable((await this.#call(RequestCode.GET_ALL_TOPIC_CONFIG)).bodyBytes).topics
    const made = topics.get(`New_${name}`)
    const isChanged = made?.perm === 2 && made.readQueueNums === 3 && !topics.has(`Gone_${name}`)
    this.#report.check('topics are as they were changed, under the next leader', isChanged, JSON.stringify(made))
    const groups = (await this.#call(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG)).bodyBytes.toString()
    const own = JSON.parse(groups) as { subscriptionGroupTable: Record<string, Record<string, unknown> | undefined> }
    const { [`G_${name}`]: changed, [`Off_${name}`]: off, [`Gone_${name}`]: gone } = own.subscriptionGroupTable
    const areGroups = changed?.['retryMaxTimes'] === 3 && off?.['consumeEnable'] === false && gone === undefined
    this.#report.check('groups are as they were changed, under the next leader', areGroups, JSON.stringify(changed))
    if (this.#is5) {
      const areListed =
        topics.get(`List2_${name}`)?.perm === 4 && own.subscriptionGroupTable[`GL1_${name}`]?.['retryMaxTimes'] === 5
      this.#report.check('so are those of lists', areListed, '')
    }
    await this.#offsetsAre(`On_${name}`, topic, 0)
    await this.#consumedAll(`On_${name}`, topic, TOTAL)
    await this.#step(
      'updateTopicPerm',
      ['-b', this.#leader, '-t', `New_${name}`, '-p', '6'],
      `in ${this.#leader} success.`,
    )
  }

  // ---- how

  async #step(command: string, args: readonly string[], fact: string | RegExp): Promise<void> {
    const startedAtMs = performance.now()
    const output = await this.#command(command, ...args)
    const wrong = printsException(output) ? 'it prints an exception' : lacks(output, fact)
    const tookMs = (performance.now() - startedAtMs).toFixed(0)
    const title = `${command} ${args.join(' ')}`
    this.#report.check(title, wrong === undefined, wrong === undefined ? `${tookMs} ms` : `${wrong}\n${output}`)
  }

  /** @returns what it prints, standard error included. */
  async #command(...words: readonly string[]): Promise<string> {
    const lines = await this.#program.ask('mqadmin', ...words.map((one) => one.replaceAll(' ', '%20')))
    return lines.map((line) => line.slice('out '.length)).join('\n')
  }

  async #eventually(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const startedAtMs = performance.now()
    try {
      await untilTrue(what, TIMEOUT_MS, isSo)
      this.#report.check(what, true, `${(performance.now() - startedAtMs).toFixed(0)} ms`)
    } catch (failure) {
      this.#report.check(what, false, failure instanceof Error ? failure.message : String(failure))
    }
  }

  async #filled(topic: string): Promise<string[]> {
    await createTopic(this.#servers.namesrv, topic, QUEUE_COUNT)
    const offsetIds: string[] = []
    for (let queueId = 0; queueId < QUEUE_COUNT; queueId++) {
      const lines = await this.#program.ask(
        'produce',
        `P_${topic}`,
        topic,
        queueId,
        PER_QUEUE,
        `key${queueId}_`,
        'TagA',
      )
      for (const line of lines) offsetIds.push(line.split(' ')[2] ?? '')
    }
    return offsetIds
  }

  /** A consumer comes, and has consumed so much, and has said where it stands. */
  async #consumedAll(group: string, topic: string, count: number): Promise<void> {
    await this.#program.ask('consume', group, topic, 'TagA')
    await this.#eventually(`${group} consumes ${count}`, async () => (await this.#consumed(group)) === count)
    await untilTrue('its offsets are kept', TIMEOUT_MS, async () => {
      const offsets = await this.#offsetsOf(group, topic)
      return offsets.every((offset) => offset === PER_QUEUE)
    })
  }

  async #consumed(group: string): Promise<number> {
    const [line = ''] = await this.#program.ask('consumed', group)
    return Number(line.slice('consumed '.length))
  }

  async #offsetsAre(group: string, topic: string, ...wanted: readonly number[]): Promise<void> {
    const offsets = await this.#offsetsOf(group, topic)
    const isSo = offsets.every((offset, queueId) => offset === (wanted[queueId] ?? wanted[0]))
    this.#report.check(`… ${group} stands at ${wanted.join(', ')}`, isSo, offsets.join(', '))
  }

  async #offsetsOf(consumerGroup: string, topic: string): Promise<number[]> {
    const offsets: number[] = []
    for (let queueId = 0; queueId < QUEUE_COUNT; queueId++) {
      const fields = { consumerGroup, topic, queueId: String(queueId), setZeroIfNotFound: 'false' }
      offsets.push(Number((await this.#call(RequestCode.QUERY_CONSUMER_OFFSET, fields)).extFields?.['offset'] ?? -1))
    }
    return offsets
  }

  async #clientIds(consumerGroup: string): Promise<string[]> {
    return decodeConsumerIdList((await this.#call(RequestCode.GET_CONSUMER_LIST_BY_GROUP, { consumerGroup })).bodyBytes)
  }

  async #routed(topic: string): Promise<void> {
    await untilTrue(`${topic} has a route`, TIMEOUT_MS, async () => {
      const request = createRequest(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic })
      return (await this.#remoting.invoke(this.#servers.namesrv, request, CALL_TIMEOUT_MS)).code === 0
    })
  }

  #call(code: number, extFields: ExtFields = {}): Promise<RemotingCommand> {
    return this.#remoting.invoke(this.#leader, createRequest(code, extFields), CALL_TIMEOUT_MS)
  }

  /** As the name servers know it: commands ask there. */
  async #findLeader(): Promise<void> {
    const { brokers, leader } = await this.#servers.status()
    this.#leader = brokers.find(({ id }) => id === leader)?.addr ?? ''
    await untilTrue('name servers know the leader', TIMEOUT_MS, async () => {
      const request = createRequest(RequestCode.GET_BROKER_CLUSTER_INFO)
      const { bodyBytes } = await this.#remoting.invoke(this.#servers.namesrv, request, CALL_TIMEOUT_MS)
      return bodyBytes.toString().includes(`"0":"${this.#leader}"`)
    })
  }

  #file(content: unknown): string {
    const path = join(this.#root, `${randomBytes(3).toString('hex')}.json`)
    writeFileSync(path, JSON.stringify(content))
    return path
  }
}

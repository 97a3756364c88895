/**
 * Apache's mqadmin, unmodified, against a group of ours: commands that read (mqadmin-reading.ts), one after another in one JVM. Each
 * must print what it prints of Apache's brokers: the facts that its step checks, and no exception.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Admin, createTopic } from '../processes/group/admin.ts'
import type { FastTry } from '../processes/group/fast-try.ts'
import { untilTrue } from '../processes/group/until.ts'
import type { Launch } from './child-program.ts'
import type { Client } from './clients.ts'
import { LineProgram } from './line-program.ts'
import { READING } from './mqadmin-reading.ts'
import { printsException, type SentMessage, type Step, type World } from './mqadmin-step.ts'
import { runOwnSuite } from './own-suite.ts'
import type { Report } from './report.ts'

const QUEUE_COUNT = 4
/** Sent to queue 0, 1 and so on. */
const SENT_COUNTS = [5, 3, 0, 2]
const SENT_TOTAL = SENT_COUNTS.reduce((sum, each) => sum + each, 0)
const CONF = { traceTopicEnable: 'true' }
const ANSWERS = /^(out|err|sent|consumed) ?/
const TIMEOUT_MS = 60_000

export async function runMqadmin(client: Client, report: Report): Promise<void> {
  await runOwnSuite(client, report, CONF, async ({ servers, root, atEnd }) => {
    const launch = launchIn(join(root, 'home'), client, servers.namesrv)
    const program = await LineProgram.start(launch, join(root, 'client.log'), ANSWERS)
    atEnd(() => program.kill())
    const world = await madeWorld(client, servers, program, root)
    for (const step of READING) await runStep(step, world, program, report)
  })
}

/** In a home as an installation has it: 4.9.8 does not run without its configuration of logging. */
export function launchIn(home: string, client: Client, namesrv: string): Launch {
  const logging = join(home, 'conf', 'logback_tools.xml')
  mkdirSync(join(home, 'conf'), { recursive: true })
  writeFileSync(logging, '<configuration/>\n')
  const { args, env, ...launch } = client.launch(namesrv, '', '', home)
  return { ...launch, args: [`-Dlogback.configurationFile=${logging}`, ...args], env: { ...env, ROCKETMQ_HOME: home } }
}

async function madeWorld(client: Client, servers: FastTry, program: LineProgram, directory: string): Promise<World> {
  const name = randomBytes(3).toString('hex')
  const [topic, group, producerGroup] = [`T_${name}`, `G_${name}`, `P_${name}`]
  await createTopic(servers.namesrv, topic, QUEUE_COUNT)
  const messages: SentMessage[] = []
  const day = new Date().toDateString()
  for (const [queueId, count] of SENT_COUNTS.entries()) {
    const lines = await program.ask('produce', producerGroup, topic, queueId, count, `key${queueId}_`, 'TagA')
    for (const line of lines) {
      const [, uniqueId = '', offsetId = '', queueOffset = '', key = ''] = line.split(' ')
      messages.push({ uniqueId, offsetId, queueId, queueOffset: Number(queueOffset), key })
    }
  }
  await program.ask('consume', group, topic, 'TagA')
  await untilTrue('all messages are consumed', TIMEOUT_MS, async () => {
    const [line] = await program.ask('consumed', group)
    return line === `consumed ${SENT_TOTAL}`
  })
  await untilOffsetsAreKept(servers, topic, group)
  const { cluster, brokerName, brokers, leader } = await servers.status()
  return {
    version: client.name.replace(/^.*-/, ''),
    namesrv: servers.namesrv,
    cluster,
    brokerName,
    brokerAddr: brokers.find(({ id }) => id === leader)?.addr ?? '',
    brokerAddrs: brokers.map(({ addr }) => addr),
    topic,
    group,
    producerGroup,
    messages,
    day,
    directory,
  }
}

/** The consumer tells its offsets 10 s after its start at first. */
async function untilOffsetsAreKept(servers: FastTry, topic: string, group: string): Promise<void> {
  const admin = new Admin(servers.namesrv)
  try {
    const master = await admin.master(topic)
    await untilTrue('the offsets of the group are kept', TIMEOUT_MS, async () => {
      const kept = SENT_COUNTS.map((_, queueId) => admin.consumerOffset(master, group, topic, queueId))
      return (await Promise.all(kept)).every((offset, queueId) => offset === SENT_COUNTS[queueId])
    })
  } finally {
    admin.close()
  }
}

async function runStep(step: Step, world: World, program: LineProgram, report: Report): Promise<void> {
  const args = step.args(world)
  if (args === null) return
  const startedAtMs = performance.now()
  const lines = await program.ask('mqadmin', ...args.map((one) => one.replaceAll(' ', '%20')))
  const said = (word: string) =>
    lines.filter((line) => line.startsWith(word)).map((line) => line.slice(word.length + 1))
  const [output, errors] = [said('out').join('\n'), said('err').join('\n')]
  const wrong =
    (step.allowsErrors === true || errors === '' ? undefined : `standard error: ${errors}`) ??
    (printsException(output) ? 'it prints an exception' : undefined) ??
    step.wrong(output, world)
  const tookMs = (performance.now() - startedAtMs).toFixed(0)
  report.check(step.name, wrong === undefined, wrong === undefined ? `${tookMs} ms` : `${wrong}\n${output}`)
}

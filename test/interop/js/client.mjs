/**
 * An unmodified ali-ons under test, driven by lines on standard input and answering with JSON events on standard output.
 *
 *   consume NAME               a consumer of the group starts          -> done, then consumed…
 *   stop NAME                  and shuts down                          -> done
 *   send sync PREFIX COUNT                                             -> acked | failed…, done
 *   flow sync PREFIX           sends until `endflow`                   -> acked | failed…
 *   endflow                                                            -> done
 *   exit                       shuts everything down                   -> done, exit status 0
 *
 * Arguments: NAMESRV TOPIC GROUP. The topic must exist: this client never falls back to TBW102.
 */
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import ons from 'ali-ons'

const FLOW_PACE_MS = 5
const FLOW_PACE_AFTER_FAILURE_MS = 100
const TAGS = ['TagA', 'TagB', 'TagC']

const [namesrv, topic, group] = process.argv.slice(2)
// Everything but events belongs on standard error.
const logger = { info() {}, debug() {}, warn: console.error, error: console.error }
const options = {
  nameSrv: namesrv,
  // Only used to look up the name server's address over HTTP, which nameSrv makes unnecessary.
  httpclient: {},
  logger,
  pollNameServerInteval: 1000,
  heartbeatBrokerInterval: 1000,
  rebalanceInterval: 1000,
  persistConsumerOffsetInterval: 1000,
}

function report(event) {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}

/** Message n of a series: key PREFIX-n, the tags in turn. */
function message(prefix, n) {
  const key = `${prefix}-${n}`
  const made = new ons.Message(topic, TAGS[n % TAGS.length], `body of ${key}`)
  made.keys = [key]
  return made
}

async function sendSync(sent) {
  const { keys: key, tags: tag } = sent
  try {
    const result = await producer.send(sent)
    if (result.sendStatus !== 'SEND_OK') throw new Error(`send status ${result.sendStatus}`)
    const { messageQueue, queueOffset, msgId } = result
    report({ event: 'acked', key, tag, queueId: messageQueue.queueId, queueOffset, msgId })
    return true
  } catch (failure) {
    report({ event: 'failed', key, tag, error: String(failure) })
    return false
  }
}

const consumers = new Map()
let flowing
let endFlow = false

const commands = {
  async consume(name) {
    const consumer = new ons.Consumer({
      ...options,
      consumerGroup: group,
      instanceName: `${name}_${process.pid}`,
      consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
    })
    consumer.on('error', (error) => console.error(name, error))
    consumer.subscribe(topic, 'TagA || TagB', async (received) => {
      const { keys: key, tags: tag, queueId, queueOffset, msgId, body } = received
      report({
        event: 'consumed',
        consumer: name,
        key,
        tag,
        queueId,
        queueOffset: Number(queueOffset),
        msgId,
        body: String(body),
      })
    })
    consumers.set(name, consumer)
    await consumer.ready()
  },
  async stop(name) {
    const consumer = consumers.get(name)
    consumers.delete(name)
    await consumer.close()
  },
  async send(mode, prefix, count) {
    if (mode !== 'sync') throw new Error(`no such mode: ${mode}`)
    for (let n = 0; n < Number(count); n++) await sendSync(message(prefix, n))
  },
  async flow(mode, prefix) {
    endFlow = false
    flowing = (async () => {
      for (let n = 0; !endFlow; n++) {
        await delay((await sendSync(message(prefix, n))) ? FLOW_PACE_MS : FLOW_PACE_AFTER_FAILURE_MS)
      }
    })()
  },
  async endflow() {
    endFlow = true
    await flowing
  },
  async exit() {
    for (const consumer of consumers.values()) await consumer.close()
    await producer.close()
  },
}

const producer = new ons.Producer({
  ...options,
  producerGroup: `${group}_producer`,
  instanceName: `producer_${process.pid}`,
})
producer.on('error', (error) => console.error('producer', error))
await producer.ready()
report({ event: 'ready' })
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...words] = line.trim().split(' ')
  try {
    if (!Object.hasOwn(commands, name)) throw new Error(`no such command: ${line}`)
    await commands[name](...words)
    report({ event: 'done', command: line })
  } catch (failure) {
    console.error(failure)
    report({ event: 'error', command: line, error: String(failure) })
  }
  if (name === 'exit') break
}
// Its timers would keep the process alive.
process.exit(0)

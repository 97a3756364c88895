/** `quickstart-producer`: sends a few messages and prints where each was stored. */
import { Producer } from '@dledger-ts/client'
import { namesrvOf, wholeCount } from './server/quickstart-flags.ts'
import { command, endWithReader, fail, VERSION } from './server/program.ts'

const PROGRAM = 'quickstart-producer'

interface Flags {
  readonly namesrvAddr?: string
  readonly tls?: boolean
  readonly topic: string
  readonly count: string
}

async function main(flags: Flags): Promise<void> {
  endWithReader()
  const count = wholeCount(flags.count)
  const producer = new Producer({
    group: 'quickstart_producer',
    namesrvAddress: namesrvOf(flags.namesrvAddr),
    tls: flags.tls === true,
  })
  producer.start()
  for (let i = 0; i < count; i++) {
    const body = Buffer.from(`Hello RocketMQ ${i}`)
    const result = await producer.send({ topic: flags.topic, tags: 'TagA', keys: `key${i}`, body })
    const { brokerName, queueId } = result.queue
    process.stdout.write(
      `${result.status} ${result.msgId} ${brokerName} queue ${queueId} offset ${result.queueOffset}\n`,
    )
  }
  await producer.close()
}

command(PROGRAM)
  .description('Sends messages to a topic, which is made when it is missing.')
  .option('-n, --namesrvAddr <ADDR;ADDR>', 'namesrv addresses (default: $NAMESRV_ADDR, then 127.0.0.1:9876)')
  .option('--tls', 'with TLS; certificates are not checked')
  .option('-t, --topic <TOPIC>', 'the topic', 'TopicTest')
  .option('-c, --count <COUNT>', 'how many messages', '10')
  .version(VERSION)
  .action((flags: Flags) => main(flags).catch((error: unknown) => fail(PROGRAM, error)))
  .parse()

/** `quickstart-consumer`: prints messages of a topic as they arrive. */
import { PushConsumer } from '@dledger-ts/client'
import { namesrvOf, wholeCount } from './server/quickstart-flags.ts'
import { closeOnSignal, command, endWithReader, fail, VERSION } from './server/program.ts'

const PROGRAM = 'quickstart-consumer'

interface Flags {
  readonly namesrvAddr?: string
  readonly tls?: boolean
  readonly topic: string
  readonly count?: string
}

async function main(flags: Flags): Promise<void> {
  endWithReader()
  let left = flags.count === undefined ? Number.POSITIVE_INFINITY : wholeCount(flags.count)
  const namesrvAddress = namesrvOf(flags.namesrvAddr)
  let closing: Promise<void> | null = null
  const close = () => (closing ??= consumer.close())
  const consumer = new PushConsumer({
    group: 'quickstart_consumer',
    namesrvAddress,
    tls: flags.tls === true,
    consumeFrom: { from: 'FIRST_OFFSET' },
    listener: (messages) => {
      for (const message of messages) {
        process.stdout.write(
          `${message.msgId} queue ${message.queueId} offset ${message.queueOffset} ${message.body.toString()}\n`,
        )
        left--
        // Closing begins at once: what has arrived beyond the count is handed out to nobody, and consumed another time.
        if (left === 0) {
          close().then(
            () => process.exit(0),
            (error: unknown) => fail(PROGRAM, error),
          )
        }
      }
      return 'CONSUME_SUCCESS'
    },
  })
  consumer.subscribe(flags.topic, '*')
  closeOnSignal(close, (error) => process.stderr.write(`${PROGRAM}: ${String(error)}\n`))
  await consumer.start()
  if (!consumer.queues.some(({ topic }) => topic === flags.topic) && closing === null) {
    process.stderr.write(
      `${PROGRAM}: ${namesrvAddress} names no queue of ${flags.topic} for this consumer yet; waiting\n`,
    )
  }
}

command(PROGRAM)
  .description('Prints the messages of a topic as they arrive, from the first one on.')
  .option('-n, --namesrvAddr <ADDR;ADDR>', 'namesrv addresses (default: $NAMESRV_ADDR, then 127.0.0.1:9876)')
  .option('--tls', 'with TLS; certificates are not checked')
  .option('-t, --topic <TOPIC>', 'the topic', 'TopicTest')
  .option('-c, --count <COUNT>', 'end after so many messages (default: go on)')
  .version(VERSION)
  .action((flags: Flags) => main(flags).catch((error: unknown) => fail(PROGRAM, error)))
  .parse()

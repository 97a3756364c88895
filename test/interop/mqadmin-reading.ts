/** Commands of mqadmin that change nothing, and what each must print. */
import { lacks, type Step } from './mqadmin-step.ts'

export const READING: readonly Step[] = [
  {
    name: 'topicRoute',
    args: ({ topic }) => ['topicRoute', '-t', topic],
    wrong: (output, { brokerAddr, brokerName }) => lacks(output, brokerAddr, brokerName, /"writeQueueNums": ?4/),
  },
]

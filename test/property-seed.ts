/**
 * With `PROPERTY_SEED` every property tries the same cases each time, as `.ci/run` wants it: a change is to blame for what they find. Without
 * it they are drawn anew, and a failure prints the seed.
 */
import fc from 'fast-check'

const seed = Number(process.env['PROPERTY_SEED'])
if (Number.isInteger(seed)) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed })

"""Calls that survive the death of Dask workers.

joblib scatters arguments to the workers and gives up where one dies with the only copy.
Here arguments go with the task, so that the scheduler runs a lost task again elsewhere.
"""

import warnings
from concurrent.futures import CancelledError
from itertools import islice

from joblib.parallel import get_active_backend

# Calls that wait at the scheduler, for each thread of the cluster: more cost memory
# there, fewer leave workers idle.
_N_WAITING = 3
# Times that a call is sent again if the cluster loses it.
_N_RETRIES = 5


def get_dask_client(n_jobs):
    """Return the client that joblib is configured for, or None.

    Parameters
    ----------
    n_jobs : int or None
        One job at a time needs no cluster.

    Returns
    -------
    client : distributed.Client or None
        None, too, within a task of a worker, which joblib takes care of.
    """
    backend, _ = get_active_backend()
    client = getattr(backend, "client", None)
    if n_jobs == 1 or client is None or type(backend).__module__ != "joblib._dask":
        return None
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return client
    return None


def run_on_dask(client, calls):
    """Make calls on a cluster, in any order, and again where they are lost.

    Parameters
    ----------
    client : distributed.Client
        The client.
    calls : list of tuple (function, args, kwargs)
        As joblib's ``delayed`` makes them.

    Returns
    -------
    results : list
        The results in order.
    """
    from distributed import as_completed

    n_threads = sum(client.nthreads().values())
    results, n_lost = [None] * len(calls), [0] * len(calls)
    remaining = iter(range(len(calls)))
    number_of, waiting = {}, {}
    futures = as_completed()

    def submit(number):
        function, args, kwargs = calls[number]
        with warnings.catch_warnings():
            # of the size of an image, which each call needs once
            warnings.filterwarnings("ignore", "Sending large graph")
            future = client.submit(function, *args, **kwargs, pure=False)
        number_of[future.key], waiting[future.key] = number, future
        futures.add(future)

    try:
        for number in islice(remaining, _N_WAITING * max(1, n_threads)):
            submit(number)
        for future in futures:
            number = number_of.pop(future.key)
            del waiting[future.key]
            try:
                results[number] = future.result()
            except _lost() as error:
                n_lost[number] += 1
                if n_lost[number] > _N_RETRIES:
                    raise RuntimeError(
                        f"The Dask cluster has lost call {number} of {len(calls)} "
                        f"{n_lost[number]} times. Do the workers have enough memory?"
                    ) from error
                submit(number)
                continue
            following = next(remaining, None)
            if following is not None:
                submit(following)
    except BaseException:
        client.cancel(list(waiting.values()))
        raise
    return results


def _lost():
    """Return the errors of tasks that the cluster, not their function, has failed."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    return CancelledError, FutureCancelledError, KilledWorker
